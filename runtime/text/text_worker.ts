/** The text thread: whatever grows with a prompt is computed here, where no stream waits for it. @module */
import { packIds, unpackIds } from "../packed_ids.ts";
import type { Steps } from "./steps.ts";
import { TextModel } from "./text_model.ts";
import type {
  FromTextWorker,
  PackedChat,
  SentError,
  TextJob,
  ToTextWorker,
} from "./text_protocol.ts";
import { Turns } from "./turns.ts";

declare const self: {
  postMessage(message: FromTextWorker): void;
  onmessage: ((event: MessageEvent<ToTextWorker>) => void) | null;
};

const turns = new Turns();
let text: TextModel | null = null;

self.onmessage = ({ data }) => {
  switch (data.type) {
    case "open":
      return void open(data.folder);
    case "start": {
      const { id, job } = data;
      return turns.add<unknown>(id, stepsOf(text!, job), {
        done: (result) => self.postMessage({ type: "done", id, result }),
        failed: (error) => self.postMessage({ type: "fail", id, error: sent(error) }),
      });
    }
    case "cancel":
      return turns.cancel(data.id);
    default:
      data satisfies never;
  }
};

async function open(folder: string): Promise<void> {
  try {
    text = await TextModel.load(folder);
    const { tokenizer: { parts: vocabulary }, template } = text;
    self.postMessage({ type: "opened", vocabulary, hasTemplate: template !== null });
  } catch (error) {
    self.postMessage({ type: "broken", error: sent(error) });
  }
}

function* stepsOf(model: TextModel, job: TextJob): Steps<unknown> {
  switch (job.kind) {
    case "chat": {
      const encoded = yield* model.encodeChatSteps(job.messages, job.options);
      return { ...encoded, ids: packIds(encoded.ids) } satisfies PackedChat;
    }
    case "encode":
      return packIds(yield* model.tokenizer.encodeSteps(job.text, job));
    case "decode":
      return yield* model.tokenizer.decodeSteps(unpackIds(job.ids), job);
    default:
      return job satisfies never;
  }
}

function sent(error: unknown): SentError {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { name, message };
}
