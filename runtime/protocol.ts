/** Messages between the thread that serves HTTP and the worker that owns the GPU. Types only. @module */
import type {
  Counters,
  EngineErrorCode,
  EngineEvent,
  EngineStatus,
  GenerateRequest,
  ModelInfo,
} from "./contract.ts";
import type { EngineOptions } from "./options.ts";

/** A generation with its ids packed as `packed_ids.ts` does. */
export type PackedRequest = Omit<GenerateRequest, "tokens"> & { readonly tokens: Float64Array };

/** From the HTTP side to the worker. */
export type ToWorker =
  | { readonly type: "open"; readonly options: EngineOptions }
  | { readonly type: "generate"; readonly id: number; readonly request: PackedRequest }
  /** `taken`: tokens that the caller has seen; told by itself for a generation that is watched. */
  | { readonly type: "taken"; readonly id: number; readonly taken: number }
  | { readonly type: "cancel"; readonly id: number; readonly taken: number }
  | { readonly type: "counters"; readonly id: number }
  | { readonly type: "drain"; readonly id: number; readonly graceMs: number }
  | { readonly type: "close"; readonly id: number };

/** From the worker to the HTTP side. */
export type FromWorker =
  | { readonly type: "status"; readonly status: EngineStatus }
  /** The snapshot's structure is sound: it may be announced. */
  | { readonly type: "checked" }
  | { readonly type: "ready"; readonly info: ModelInfo }
  | { readonly type: "event"; readonly id: number; readonly event: EngineEvent }
  | {
    readonly type: "fail";
    readonly id: number;
    readonly code: EngineErrorCode;
    readonly message: string;
  }
  | { readonly type: "counters"; readonly id: number; readonly counters: Counters }
  | { readonly type: "done"; readonly id: number }
  /** Loading failed for good: `exitCode` 2 is a wrong model or option, 1 anything else. */
  | { readonly type: "broken"; readonly message: string; readonly exitCode: number }
  /** The device is gone; a new worker may do better. */
  | { readonly type: "lost"; readonly message: string };
