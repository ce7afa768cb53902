/** A server over the scripted engine in a process of its own; prints its port. @module */
import { createApp } from "../../routes/app.ts";
import { serve } from "../../routes/server.ts";
import { MockEngine } from "../mock_engine.ts";
import { OPTIONS } from "./harness.ts";
import { ids, MockText } from "./mock_text.ts";

const engine = new MockEngine();
engine.script = { tokens: ids("x".repeat(400)), tokenMs: 50 };
const app = createApp(engine, new MockText(), OPTIONS);
const server = await serve(app, { host: "127.0.0.1", port: 0, drainSeconds: 0.3, engine });
console.log(server.port);
await server.finished;
Deno.exit(0);
