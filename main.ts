/**
 * The composition root: reads options, opens the engine and the text side, serves, and drains.
 *
 *     deno run main.ts serve --model DIR
 *
 * @module
 */
import { createApp } from "./routes/app.ts";
import { serve } from "./routes/server.ts";
import { endProcess } from "./runtime/end_process.ts";
import { Planner, RemoteText } from "./runtime/mod.ts";
import { OptionError, optionHelp, type Options, parseOptions } from "./runtime/options.ts";
import { samplingPresets } from "./runtime/presets.ts";
import { EngineBroken, RemoteEngine } from "./runtime/remote.ts";
import { modelName, readSnapshotConfig } from "./runtime/snapshot.ts";

const USAGE = `Usage: main.ts serve [options]\n\n${optionHelp()}`;

/** Serves until a signal or a failure for good; returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const [command = "serve", ...rest] = args;
  if (command === "--help" || rest.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  if (command !== "serve") throw new OptionError(`Cannot run "${command}": wanted serve or --help`);
  const demo = new URL("./weights/demo", import.meta.url).pathname;
  const options = parseOptions(rest, (name) => Deno.env.get(name), demo);
  return await run(options);
}

async function run({ engine: engineOptions, server }: Options): Promise<number> {
  const folder = engineOptions.model;
  const { config, generation } = readSnapshotConfig(folder);
  const engine = new RemoteEngine(engineOptions);
  const [, text] = await Promise.all([
    Promise.race([engine.checked, engine.broken.then((error) => Promise.reject(error))]),
    RemoteText.open(folder),
  ]);
  const modelId = modelName(folder);
  const app = createApp(engine, text, {
    modelId,
    stopIds: [...new Set([...generation.eosIds, ...config.eosIds])],
    defaults: samplingPresets(config, generation),
    maxQueue: engineOptions.maxSequences + engineOptions.maxWaiting,
    apiKeys: server.apiKeys,
    corsOrigins: server.corsOrigins,
    planner: new Planner(engineOptions),
  });
  if (text.vocabulary.size === 0) {
    console.error("deltapage: warning: no tokenizer.json: prompts are taken as token ids only");
  } else if (!text.hasTemplate) {
    console.error("deltapage: warning: no chat template: completions only");
  }
  const { host, port, finished } = await serve(app, { ...server, engine });
  console.error(
    `deltapage: listening on http://${host.includes(":") ? `[${host}]` : host}:${port}`,
  );
  announceEnd(server.drainSeconds);
  void showLoading(engine, modelId);
  const served = finished.then(() => engine.close()).then(() => 0);
  const broken = Promise.race([engine.broken, text.broken]).then((error) => {
    console.error(`deltapage: ${error.message}`);
    return error instanceof EngineBroken ? error.exitCode : 1;
  });
  return await Promise.race([served, broken]);
}

/** Says on stderr that a signal has come, so that a log tells why the process ended. */
function announceEnd(drainSeconds: number): void {
  let seen = 0;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => {
      const what = seen++ === 0
        ? `answers in progress have ${drainSeconds} s, a second signal cuts them`
        : "cutting what is left";
      console.error(`deltapage: ${signal}: ${what}`);
    });
  }
}

/** Says on stderr how far loading is: at every new phase and every tenth of one. */
async function showLoading(engine: RemoteEngine, modelId: string): Promise<void> {
  let shown = "";
  for (;;) {
    const status = engine.status();
    if (status.state !== "loading") break;
    const tenths = Math.floor(10 * status.done / Math.max(1, status.total));
    const line = `loading ${modelId}: ${status.phase} ${10 * tenths} %`;
    if (line !== shown) console.error(`deltapage: ${line}`);
    shown = line;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  if (engine.status().state === "ready") console.error(`deltapage: ${modelId} is ready`);
}

if (import.meta.main) {
  try {
    endProcess(await main(Deno.args));
  } catch (error) {
    // Every boundary throws one line that says what to do; anything else deserves its stack.
    const known = error instanceof OptionError || error instanceof EngineBroken ||
      isModelError(error);
    console.error(known ? `deltapage: ${error.message}` : error);
    endProcess(error instanceof EngineBroken ? error.exitCode : known ? 2 : 1);
  }
}

function isModelError(error: unknown): error is Error {
  return error instanceof Error &&
    ["ConfigError", "WeightsError", "TextError", "ListenError"].includes(error.name);
}
