/**
 * Messages between the thread that serves HTTP and the one that renders and encodes, ids packed as `packed_ids.ts` does.
 * Types only.
 * @module
 */
import type { ChatMessage, EncodedChat, RenderOptions } from "./types.ts";
import type { VocabularyParts } from "./vocabulary.ts";

/** What is to be computed. */
export type TextJob =
  /** Its result is a {@linkcode PackedChat}. */
  | {
    readonly kind: "chat";
    readonly messages: readonly ChatMessage[];
    readonly options: RenderOptions;
  }
  /** Its result is packed ids. */
  | { readonly kind: "encode"; readonly text: string; readonly special: boolean }
  /** Its result is a text. */
  | { readonly kind: "decode"; readonly ids: Float64Array; readonly skipSpecial: boolean };

/** A conversation with its ids packed. */
export type PackedChat = Omit<EncodedChat, "ids"> & { readonly ids: Float64Array };

/** An error on its way to another thread, which only knows the classes of the language. */
export interface SentError {
  readonly name: string;
  readonly message: string;
}

/** From the HTTP side to the text thread. */
export type ToTextWorker =
  | { readonly type: "open"; readonly folder: string }
  | { readonly type: "start"; readonly id: number; readonly job: TextJob }
  | { readonly type: "cancel"; readonly id: number };

/** From the text thread to the HTTP side. */
export type FromTextWorker =
  /** The snapshot's files have been read. */
  | {
    readonly type: "opened";
    readonly vocabulary: VocabularyParts;
    readonly hasTemplate: boolean;
  }
  | { readonly type: "broken"; readonly error: SentError }
  | { readonly type: "done"; readonly id: number; readonly result: unknown }
  | { readonly type: "fail"; readonly id: number; readonly error: SentError };
