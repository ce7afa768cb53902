/** The engine's thread: owns the GPU device, because the only fast read-back blocks its thread. @module */
import { EngineError } from "./contract.ts";
import { type OpenedEngine, openEngine } from "./open.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";
import { WeightsError } from "../weights/mod.ts";
import { DeviceLostError } from "./gpu/loss.ts";
import { ConfigError } from "./model/config.ts";
import { OptionError } from "./options.ts";
import { unpackIds } from "./packed_ids.ts";
import { PlanError } from "./plan.ts";

declare const self: {
  postMessage(message: FromWorker): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  close(): void;
};

let engine: OpenedEngine | null = null;

self.onmessage = ({ data }) => {
  handle(data).catch((error) =>
    self.postMessage({ type: "lost", message: `The engine failed: ${error.message}` })
  );
};

async function handle(message: ToWorker): Promise<void> {
  switch (message.type) {
    case "open":
      return await open(message);
    case "generate": {
      const { id, request: packed } = message;
      const request = { ...packed, tokens: unpackIds(packed.tokens) };
      return engine?.core.generate(id, request, {
        event: (event) => self.postMessage({ type: "event", id, event }),
        fail: ({ code, message }) => self.postMessage({ type: "fail", id, code, message }),
      });
    }
    case "cancel":
      return engine?.core.cancel(message.id, message.taken);
    case "taken":
      return engine?.core.take(message.id, message.taken);
    case "counters":
      return self.postMessage({ type: "counters", id: message.id, counters: engine!.counters() });
    case "drain":
      await engine?.core.drain(message.graceMs);
      return self.postMessage({ type: "done", id: message.id });
    case "close":
      await engine?.close();
      return self.postMessage({ type: "done", id: message.id });
  }
}

async function open({ options }: Extract<ToWorker, { type: "open" }>): Promise<void> {
  try {
    engine = await openEngine(options, {
      onStatus: (status) => self.postMessage({ type: "status", status }),
      onChecked: () => self.postMessage({ type: "checked" }),
      log: (line) => console.error(`deltapage: ${line}`),
    });
  } catch (error) {
    if (error instanceof DeviceLostError) {
      return self.postMessage({ type: "lost", message: error.message });
    }
    const wrong = [WeightsError, ConfigError, OptionError, PlanError].some((kind) =>
      error instanceof kind
    );
    const message = error instanceof Error ? error.message : String(error);
    return self.postMessage({ type: "broken", message, exitCode: wrong ? 2 : 1 });
  }
  engine.lost.then((message) => {
    engine?.core.failAll(new EngineError("device_lost", message));
    self.postMessage({ type: "lost", message });
  });
  self.postMessage({ type: "ready", info: engine.info });
}
