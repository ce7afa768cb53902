import { assertEquals } from "@std/assert";
import { chatLogprob, completionToken } from "../../routes/token_text.ts";
import { ID, MockTokens } from "./mock_text.ts";

const tokens = new MockTokens();

Deno.test("chatLogprob() gives what JSON cannot carry as a very small number", () => {
  const score = { id: 65, logprob: -Infinity, top: [{ id: 66, logprob: -Infinity }] };
  const written = chatLogprob(tokens, score, false);
  assertEquals([written.logprob, written.top_logprobs[0]?.logprob], [-9999, -9999]);
});

Deno.test("completionToken() names text, bytes, ids, and ids beyond the tokenizer", () => {
  assertEquals(completionToken(tokens, 65, false), "A");
  assertEquals(completionToken(tokens, ID.imEnd, false), "<|im_end|>");
  assertEquals(completionToken(tokens, 0xc3, false), "bytes:\\xc3");
  assertEquals(completionToken(tokens, 7, false), "\x07");
  assertEquals(completionToken(tokens, 65, true), "token_id:65");
  assertEquals(completionToken(tokens, tokens.size, false), "");
});
