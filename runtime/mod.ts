/** The one door of the engine: everything `routes/` may import. @module */
export * from "./contract.ts";
export * from "./forecast/mod.ts";
export * from "./text/mod.ts";
