import { assert, assertEquals } from "@std/assert";
import { createApp } from "../../routes/app.ts";
import type { GenerateRequest } from "../../runtime/contract.ts";
import type { OpenedEngine } from "../../runtime/open.ts";
import { RemoteEngine } from "../../runtime/remote.ts";
import {
  complete,
  type Completion,
  greedy,
  openTestEngine,
  TEST_OPTIONS,
} from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";
import { OPTIONS } from "../routes/harness.ts";
import { MockText, MockTokens } from "../routes/mock_text.ts";
import { LocalPort } from "./local_port.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const promptOf = (length: number) => prompts.find(({ tokens }) => tokens.length === length)!.tokens;

type Options = NonNullable<Parameters<typeof openTestEngine>[1]>;

/** Opens an engine that takes single steps and one that runs eight at once; `compare` asserts that both give the same. */
async function withBoth(
  options: Options,
  hooks: Parameters<typeof openTestEngine>[2],
  use: (
    compare: <T>(each: (engine: OpenedEngine) => Promise<T>) => Promise<T>,
    engines: readonly OpenedEngine[],
  ) => Promise<void>,
): Promise<void> {
  const engines: OpenedEngine[] = [];
  for (const runAhead of [1, 8]) {
    engines.push(await openTestEngine(dir, { ...options, runAhead }, hooks));
  }
  try {
    await use(async (each) => {
      const [single, ahead] = [await each(engines[0]!), await each(engines[1]!)];
      assertEquals(ahead, single);
      return single;
    }, engines);
    const [none, many] = engines.map((engine) => engine.counters().values.stepsAhead!);
    assert(none === 0 && many! > 7, `${none} and ${many} steps were run ahead`);
  } finally {
    for (const engine of engines) await engine.close();
  }
}

let owners = 0;
/** A request of an owner of its own: it finds nothing cached. */
const fresh = (request: GenerateRequest): GenerateRequest => ({ ...request, owner: `${owners++}` });

function drawn(tokens: readonly number[], seed: number, changes: object = {}): GenerateRequest {
  const { sampling, ...rest } = greedy(tokens, { maxTokens: 20, logprobs: 3 });
  const how = { ...sampling, temperature: 1, topP: 0.95, topK: 40, seed, ...changes };
  return { ...rest, sampling: how };
}

/** Runs requests at the same time. */
const together = (engine: OpenedEngine, list: readonly GenerateRequest[]): Promise<Completion[]> =>
  Promise.all(list.map((request) => complete(engine, fresh(request))));

/** Text of one id: its number. */
class NumberTokens extends MockTokens {
  override readonly size = 1 << 20;
  override pieceBytes(id: number): Uint8Array {
    return new TextEncoder().encode(`#${id};`);
  }
}

class NumberText extends MockText {
  override readonly vocabulary = new NumberTokens();
}

type Ask = (engine: OpenedEngine, prompt: readonly number[], changes: object) => Promise<{
  readonly text: string;
  readonly reason: string;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}>;

/** Asks for completions through the routes. */
async function asking(engines: readonly OpenedEngine[]): Promise<Ask> {
  const apps = new Map<OpenedEngine, ReturnType<typeof createApp>>();
  for (const engine of engines) {
    const remote = new RemoteEngine({ ...TEST_OPTIONS, model: dir }, () => new LocalPort(engine));
    await remote.ready;
    apps.set(engine, createApp(remote, new NumberText(), OPTIONS));
  }
  return async (engine, prompt, changes) => {
    const response = await apps.get(engine)!.request("/v1/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt, temperature: 0, presence_penalty: 0, ...changes }),
    });
    const { choices: [{ text, finish_reason: reason }], usage } = await response.json();
    return {
      text,
      reason,
      completionTokens: usage.completion_tokens,
      cachedTokens: usage.prompt_tokens_details.cached_tokens,
    };
  };
}

Deno.test("running ahead changes nothing", async (t) => {
  // With room for all checkpoints: which of them are still on the GPU would depend on the slots in all.
  await withBoth({ maxSequences: 12 }, {}, async (compare, engines) => {
    await t.step("of tokens and log-probabilities, greedy, drawn and penalised", async () => {
      const results = await compare(async (engine) => [
        ...await together(engine, [greedy(promptOf(63), { maxTokens: 21, logprobs: 5 })]),
        ...await together(engine, [drawn(promptOf(64), 3)]),
        ...await together(engine, [drawn(promptOf(65), 4, {
          presencePenalty: 0.5,
          frequencyPenalty: 0.8,
          repetitionPenalty: 1.3,
          logitBias: [[5, 2], [9, -100]],
        })]),
      ]);
      assertEquals(results.map(({ tokens }) => tokens.length), [21, 20, 20]);
    });

    await t.step(
      "of where each of several sequences ends, nor of what its next turn finds",
      async () => {
        const first = drawn(promptOf(64), 11, { presencePenalty: 1 });
        const [{ tokens }] = await compare((engine) => together(engine, [first])) as [Completion];
        const list = [
          { ...first, stopIds: [600, tokens[12]!], owner: "a" },
          greedy(promptOf(1), { maxTokens: 3, owner: "b" }),
          greedy(promptOf(300), { maxTokens: 21, checkpoints: [40], owner: "c" }),
          { ...drawn(promptOf(2), 12), maxTokens: 2, owner: "d" },
          { ...drawn(promptOf(63), 13), maxTokens: 30, promptLogprobs: 1, owner: "e" },
        ];
        const results = await compare(async (engine) => {
          const firsts = await Promise.all(list.map((request) => complete(engine, request)));
          const turns = list.map(({ tokens, owner }, i) =>
            greedy([...tokens, ...firsts[i]!.tokens, 5, 9], { logprobs: 3, owner })
          );
          return { firsts, turns: await Promise.all(turns.map((turn) => complete(engine, turn))) };
        });
        const { firsts, turns } = results;
        assertEquals(firsts.map(({ reason }) => reason), ["stop", ...Array(4).fill("length")]);
        assertEquals(firsts[0]!.tokens, tokens.slice(0, tokens.indexOf(tokens[12]!) + 1));
        turns.forEach(({ usage }, i) =>
          assertEquals(usage.cachedTokens, list[i]!.tokens.length + firsts[i]!.tokens.length - 1)
        );
      },
    );

    await t.step("of a sequence with more stop ids than the GPU holds", async () => {
      const [{ tokens }] = await compare((engine) => together(engine, [greedy(promptOf(64))])) as [
        Completion,
      ];
      const stopIds = [...Array.from({ length: 40 }, (_, i) => 9000 + i), tokens[2]!];
      const [cut] = await compare((engine) =>
        together(engine, [greedy(promptOf(64), { stopIds })])
      );
      assertEquals(cut!.reason, "stop");
    });

    await t.step("of the state after a cancel in mid-batch, nor of other streams", async () => {
      for (const at of [1, 2, 7, 8, 9, 13]) {
        const owner = `cancel ${at}`;
        await compare(async (engine) => {
          const other = complete(engine, fresh(drawn(promptOf(63), 5)));
          const taken: number[] = [];
          await new Promise<void>((resolve) => {
            const request = { ...drawn(promptOf(64), 6), maxTokens: 500, owner };
            void complete(engine, request, (event, cancel) => {
              if (event.type !== "token" || taken.push(event.id) !== at) return;
              cancel();
              resolve();
            });
          });
          const next = [...promptOf(64), ...taken, 5];
          const again = await complete(engine, greedy(next, { logprobs: 3, owner }));
          assertEquals(again.usage.cachedTokens, 64 + at - 1);
          return { taken, again, other: await other };
        });
      }
    });

    await t.step("of an answer that a stop string ends, nor of the turn after it", async () => {
      const ask = await asking(engines);
      const prompt = promptOf(63);
      const whole = await compare((engine) => ask(engine, prompt, { max_tokens: 24 }));
      const ids = [...whole.text.matchAll(/#(\d+);/g)].map((match) => Number(match[1]));
      for (const at of [3, 10, 15]) {
        const cut = ids.indexOf(ids[at]!);
        const own = { max_tokens: 24, cache_salt: `stop ${at}` };
        const [answer, next] = await compare(async (engine) => [
          await ask(engine, prompt, { ...own, stop: `#${ids[cut]};` }),
          await ask(engine, [...prompt, ...ids.slice(0, cut), 5], own),
        ]);
        assertEquals([answer!.reason, answer!.completionTokens], ["stop", cut + 1]);
        assertEquals(next!.cachedTokens, prompt.length + cut);
      }
    });
  });
});

Deno.test("a sequence that runs ahead ends with the context, and its pages do not run out", async () => {
  await withBoth({ context: 64 }, {}, async (compare) => {
    const results = await compare((engine) =>
      together(
        engine,
        [50, 59, 63, 40].map((n) => greedy(promptOf(300).slice(0, n), { maxTokens: 99 })),
      )
    );
    assertEquals(results.map(({ tokens }) => tokens.length), [14, 5, 1, 24]);
  });
});

Deno.test("an embedding table that is split over several bindings gives the same tokens", async () => {
  await withBoth({ context: 128, maxSequences: 2 }, { maxBinding: 32 * 1024 }, async (compare) => {
    await compare((engine) => together(engine, [63, 64, 65].map((n) => greedy(promptOf(n)))));
  });
});
