/**
 * A routing trace of the real engine: the snapshot `odd_fp8` reads 300 tokens in chunks of 64 and decodes 60.
 * The prompt repeats phrases of two to five tokens; `deno task replay record --chunk 64 --tokens 61` wrote it.
 * @module
 */
import { parseTrace } from "../../../runtime/experts/trace.ts";

const FILE = new URL("../../golden/routing/odd_fp8.jsonl", import.meta.url);

/** The recorded trace. */
export const ROUTED_ODD = parseTrace(Deno.readTextFileSync(FILE));
