import { assertEquals, assertThrows } from "@std/assert";
import { emptyState, naiveForward } from "../../../runtime/model/naive.ts";
import { NaiveWeights } from "../../../runtime/model/naive_weights.ts";
import { openCheckedSnapshot, readSnapshotConfig } from "../../../runtime/snapshot.ts";
import type { SynthModel } from "../../../runtime/synth/inventory.ts";
import { type Member, MEMBERS } from "../../../runtime/synth/members.ts";
import { parseSynthOptions } from "../../../runtime/synth/options.ts";
import { DEFAULT_LOCALITY, SynthError, synthesize } from "../../../runtime/synth/synthesize.ts";
import { findNonFinite, type FloatDtype } from "../../../weights/mod.ts";
import { integers } from "../../pattern.ts";

const DEMO = `${import.meta.dirname}/../../../weights/demo`;

/** A member with the real form and small sizes. */
const SMALL: Member = {
  hidden: 512,
  layers: 5,
  heads: 4,
  kvHeads: 2,
  headDim: 64,
  deltaKeyHeads: 2,
  deltaValueHeads: 4,
  deltaDim: 64,
  mlp: { kind: "moe", experts: 64, topK: 4, dff: 32, sharedDff: 32 },
  tied: false,
  vision: false,
};

/** Writes a snapshot, hands it over, and removes it. */
function made(
  model: SynthModel,
  { locality = DEFAULT_LOCALITY, seed = 1 }: { locality?: number; seed?: number },
  use: (folder: string) => void,
): void {
  const folder = Deno.makeTempDirSync();
  try {
    synthesize({ model, seed, locality, folder, borrowFrom: DEMO });
    use(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function open(folder: string) {
  const { config } = readSnapshotConfig(folder);
  return { config, snapshot: openCheckedSnapshot(folder, config) };
}

for (
  const [name, model] of [
    ["35B-A3B cut to 2 layers of 8 experts", {
      member: MEMBERS["35B-A3B"],
      format: "fp8",
      layers: 2,
      experts: 8,
      vocab: 640,
    }],
    ["a whole small member", { member: SMALL, format: "fp8" as const, vocab: 640 }],
    ["a small member in BF16", { member: SMALL, format: "bf16" as const, vocab: 640 }],
    ["a dense tied member", {
      member: { ...SMALL, mlp: { kind: "dense", dff: 96 }, tied: true },
      format: "fp8",
      vocab: 640,
    }],
  ] as const
) {
  Deno.test(`synthesize() writes a snapshot that opens, all finite: ${name}`, () => {
    made(model, {}, (folder) => {
      const { config, snapshot } = open(folder);
      assertEquals(config.synthetic, true);
      for (const tensor of [...snapshot.names()].map((name) => snapshot.tensor(name))) {
        const bytes = new Uint8Array(tensor.byteLength);
        tensor.readSync(0, bytes);
        assertEquals(findNonFinite(bytes, tensor.dtype as FloatDtype), -1, tensor.name);
      }
      assertEquals(Deno.statSync(`${folder}/tokenizer.json`).isFile, true);
      snapshot.close();
    });
  });
}

Deno.test("synthesize() gives equal bytes for equal seeds and others for others", () => {
  const model = { member: SMALL, format: "fp8", layers: 1, vocab: 64 } as const;
  const bytes = (seed: number) => {
    const all: Uint8Array[] = [];
    made(model, { seed }, (folder) => {
      all.push(Deno.readFileSync(`${folder}/model-00001-of-00001.safetensors`));
    });
    return all[0]!;
  };
  assertEquals(bytes(3), bytes(3));
  const [a, b] = [bytes(3), bytes(4)];
  assertEquals(a.length, b.length);
  assertEquals(a.filter((byte, i) => byte === b[i]).length < a.length / 3, true);
});

/** Notes which experts every call of the model reads. */
class WatchedWeights extends NaiveWeights {
  used = new Set<string>();
  override values(name: string): Float32Array {
    const expert = /layers\.\d+\.mlp\.experts\.\d+/.exec(name);
    if (expert) this.used.add(expert[0]);
    return super.values(name);
  }
}

/** Runs random tokens one by one: the share of experts that the next token uses again, and the logits' spread. */
function watch(folder: string): { repeats: number; spread: number; distinct: number } {
  const { config, snapshot } = open(folder);
  const weights = new WatchedWeights(snapshot);
  const state = emptyState(config);
  const every = new Set<string>();
  let [before, repeats, count] = [new Set<string>(), 0, 0];
  let spread = 0;
  integers(32, config.vocab, 5).forEach((token, step) => {
    weights.used = new Set();
    const logits = naiveForward({ config, weights }, [token], state);
    spread = Math.sqrt(logits.reduce((sum, x) => sum + x * x, 0) / logits.length);
    if (step >= 12) {
      repeats += weights.used.intersection(before).size;
      count += weights.used.size;
      weights.used.forEach((expert) => every.add(expert));
    }
    before = weights.used;
  });
  snapshot.close();
  return { repeats: repeats / count, spread, distinct: every.size };
}

Deno.test("synthesize() makes routing as sticky as asked, not degenerate, and keeps activations sane", () => {
  const model = { member: SMALL, format: "fp8", vocab: 640 } as const;
  made(model, { locality: 0 }, (folder) => {
    const { repeats, spread } = watch(folder);
    // Chance is 4 of 64.
    assertEquals(repeats < 0.15, true, `${repeats}`);
    assertEquals(spread > 1.5 && spread < 3.5, true, `${spread}`);
  });
  made(model, {}, (folder) => {
    const { repeats, spread, distinct } = watch(folder);
    assertEquals(repeats > 0.3 && repeats < 0.6, true, `${repeats}`);
    assertEquals(spread > 1.5 && spread < 3.5, true, `${spread}`);
    // Five layers of 64: many more than the 20 of one token.
    assertEquals(distinct > 80, true, `${distinct}`);
  });
});

Deno.test("synthesize() refuses a folder that holds something, and a disk that is too small", () => {
  const folder = Deno.makeTempDirSync();
  const request = { seed: 1, locality: 0.5, folder, borrowFrom: DEMO };
  const huge: Member = { ...MEMBERS["397B-A17B"], layers: 1000 };
  assertThrows(
    () => synthesize({ ...request, model: { member: huge, format: "bf16", layers: 1000 } }),
    SynthError,
    "free, wanted 12.0 TiB",
  );
  Deno.writeTextFileSync(`${folder}/note`, "");
  assertThrows(
    () => synthesize({ ...request, model: { member: SMALL, format: "fp8" } }),
    SynthError,
    'found "note" in it, wanted an empty folder',
  );
  Deno.removeSync(folder, { recursive: true });
});

// Once it ended with a stack.
Deno.test("synthesize() says in a line that the disk has become full, and passes on what is no fault of the system", () => {
  for (
    const [thrown, kind] of [["No space left on device (os error 28)", SynthError], [
      "x",
      Error,
    ]] as const
  ) {
    const folder = Deno.makeTempDirSync();
    const request = { seed: 1, locality: 0.5, folder, borrowFrom: DEMO };
    const full = () => {
      throw new Error(thrown);
    };
    const { name, message } = assertThrows(
      () => synthesize({ ...request, model: { member: SMALL, format: "fp8" } }, full),
      kind,
    );
    const line = `Cannot go on writing "${folder}": no space left on device; empty the folder`;
    assertEquals(kind === SynthError ? message.startsWith(line) : name === "Error", true, message);
    assertThrows(() => Deno.statSync(`${folder}/config.json`));
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("parseSynthOptions() reads flags and says what is wrong with one", () => {
  const parse = (line: string) => parseSynthOptions(line.split(" "), DEMO);
  assertEquals(parse("--out a --model 4B --format bf16 --layers 4 --seed 0"), {
    model: { member: MEMBERS["4B"], format: "bf16", layers: 4 },
    seed: 0,
    locality: DEFAULT_LOCALITY,
    folder: "a",
    borrowFrom: DEMO,
  });
  for (
    const [line, message] of [
      ["--model 4B", 'Cannot read --out: found "nothing"'],
      ["--out=", 'Cannot read --out: found ""'],
      ["--out a --model 5B", 'Cannot read --model: found "5B", wanted 35B-A3B'],
      ["--out a --format q8", 'Cannot read --format: found "q8", wanted fp8 or bf16'],
      ["--out a --layers 0", 'Cannot read --layers: found "0"'],
      ["--out a --locality 2", 'Cannot read --locality: found "2"'],
      ["--out a --format bf16 --locality 0.5", "plainly random"],
      ["--out a --speed 9", "Cannot read the options"],
    ] as const
  ) assertThrows(() => parse(line), Error, message);
});
