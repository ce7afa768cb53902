/** One chat answer as a sequence of deltas: what is streamed, and what a whole answer is put together from. @module */
import type { ChatPiece, ChatPlan } from "./chat_piece.ts";
import { ChatReader } from "./chat_reader.ts";
import { ENOUGH, generation } from "./generation.ts";
import type { Service } from "./service.ts";
import { Tally } from "./usage.ts";

/** Runs the engine and takes its tokens apart. Without an end if `signal` is aborted. */
export async function* chatAnswer(
  service: Service,
  plan: ChatPlan,
  signal: AbortSignal,
): AsyncGenerator<ChatPiece> {
  const reader = new ChatReader(service, plan);
  const enough = new AbortController();
  const events = generation(service, plan.request, AbortSignal.any([signal, enough.signal]));
  const tally = new Tally(plan.request.tokens.length);
  let engineReason: "stop" | "length" | null = null;
  for await (const event of events) {
    if (event.type === "token") {
      tally.observe(event, reader.thinking);
      for (const delta of reader.read(event)) yield delta;
      if (reader.done) {
        enough.abort(ENOUGH);
        engineReason = "stop";
        break;
      }
    } else {
      tally.observe(event);
      if (event.type === "done") engineReason = event.reason;
    }
  }
  if (engineReason === null) return;
  for (const delta of reader.finish()) yield delta;
  yield {
    type: "end",
    finishReason: reader.finishReason(engineReason),
    logprobs: reader.takeLogprobs(),
    usage: tally.usage(),
    timings: tally.timings(),
  };
}
