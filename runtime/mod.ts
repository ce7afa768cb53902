/** The one door of the engine: everything `routes/` may import. @module */
export * from "./contract.ts";
export * from "./text/mod.ts";
