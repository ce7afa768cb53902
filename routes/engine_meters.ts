/** The engine's counters by their names in /metrics. @module */
import type { Meters } from "./meters.ts";

/** A counter that only grows, or a gauge. */
type Meter = readonly [kind: "counter" | "gauge", name: string, help: string];

/** From the engine's key to the meter, without its prefix. */
const METERS: Readonly<Record<string, Meter>> = {
  hits: ["counter", "expert_cache_hits_total", "Experts that a step found on the GPU"],
  misses: ["counter", "expert_cache_misses_total", "Experts uploaded because a step needed them"],
  bytes: ["counter", "expert_cache_bytes_total", "Bytes of experts uploaded"],
  evictions: ["counter", "expert_cache_evictions_total", "Experts that made room for others"],
  stops: ["counter", "expert_stops_total", "Times that a step waited for experts"],
  waves: ["counter", "expert_waves_total", "Rounds in which stopped layers computed their experts"],
  failures: ["counter", "expert_load_failures_total", "Experts that could not be loaded"],
  prefetches: ["counter", "expert_prefetches_total", "Experts uploaded before a step needed them"],
  prefetchBytes: ["counter", "expert_prefetch_bytes_total", "Bytes of experts uploaded ahead"],
  guesses: ["counter", "expert_guesses_total", "Absent experts guessed for the next layer"],
  guessesUsed: ["counter", "expert_guesses_used_total", "Of these the ones that it then needed"],
  guessesWanted: [
    "counter",
    "expert_guesses_wanted_total",
    "Absent experts needed where the layer before had guessed",
  ],
  hints: ["counter", "expert_hints_total", "Guessed experts that were read early from the disk"],
  hintBytes: ["counter", "expert_hint_bytes_total", "Bytes of these experts"],
  expertSlots: ["gauge", "expert_slots", "Slots for routed experts in each layer"],
  expertBytes: ["gauge", "expert_bytes", "Bytes of one routed expert in the files"],
  plannedBytes: ["gauge", "gpu_planned_bytes", "GPU memory that was planned with"],
  trunkBytes: ["counter", "trunk_bytes_total", "Bytes read at start for what is always resident"],
  trialBytes: ["counter", "expert_trial_bytes_total", "Bytes of experts read to time the ways"],
  fileBytes: ["counter", "file_bytes_total", "Bytes read from the model's files"],
  hostLoads: [
    "counter",
    "expert_host_loads_total",
    "Experts copied to host memory, from which the GPU takes them",
  ],
  hostBytes: ["counter", "expert_host_bytes_total", "Bytes of experts copied to host memory"],
  steps: ["counter", "engine_steps_total", "Steps computed"],
  stepsAhead: [
    "counter",
    "engine_steps_ahead_total",
    "Steps that followed another without the host between them",
  ],
  dispatches: ["counter", "gpu_dispatches_total", "Kernels dispatched"],
  submissions: ["counter", "gpu_submissions_total", "Command buffers submitted"],
  pipelines: ["gauge", "gpu_pipelines", "Compiled kernels"],
  promptTokens: [
    "counter",
    "engine_prompt_tokens_total",
    "Prompt tokens computed, cached ones not",
  ],
  cachedTokens: ["counter", "engine_cached_tokens_total", "Tokens taken over from checkpoints"],
  generatedTokens: ["counter", "engine_generated_tokens_total", "Tokens sampled"],
  aborted: ["counter", "engine_aborted_total", "Generations ended from outside"],
  failed: ["counter", "engine_failed_total", "Generations ended by an error"],
  preempted: ["counter", "engine_preempted_total", "Generations set back for want of KV pages"],
  deviceLosses: ["counter", "device_lost_total", "Times that the GPU device was lost"],
  prefixHits: ["counter", "state_hits_total", "Generations that began from a checkpoint"],
  prefixMisses: ["counter", "state_misses_total", "Generations that found no checkpoint"],
  checkpoints: ["counter", "state_checkpoints_made_total", "Checkpoints made"],
  checkpointsDropped: ["counter", "state_checkpoints_dropped_total", "Checkpoints given up"],
  checkpointsKept: ["gauge", "state_checkpoints", "Checkpoints kept"],
  checkpointBytes: ["gauge", "state_checkpoint_bytes", "Bytes of checkpoints in RAM"],
  statesSaved: ["counter", "state_saves_total", "Recurrent states moved to RAM"],
  statesRestored: ["counter", "state_restores_total", "Recurrent states taken back from RAM"],
  pagesSaved: ["counter", "state_kv_saves_total", "Checkpoints whose KV pages moved to RAM"],
  pagesRestored: ["counter", "state_kv_restores_total", "Checkpoints whose KV pages came back"],
};

/** Keys that are told in labels, not as meters of their own. */
const IN_LABELS: ReadonlySet<string> = new Set(["kvPages", "kvPageTokens"]);

/** Sets the meters to the engine's values; a value that is not in the table becomes a gauge of its own name. */
export function takeOver(meters: Meters, values: Readonly<Record<string, number>>): void {
  for (const [key, value] of Object.entries(values)) {
    if (IN_LABELS.has(key)) continue;
    const [kind, name, help] = METERS[key] ?? ["gauge", snakeCase(key), "Measured by the engine"];
    if (kind === "gauge") {
      meters.gauge(`deltapage_${name}`, help).set(value);
      continue;
    }
    const counter = meters.counter(`deltapage_${name}`, help);
    counter.reset();
    counter.inc(value);
  }
  describePages(meters, values);
}

function describePages(meters: Meters, { kvPageTokens, kvPages }: Record<string, number>): void {
  if (kvPageTokens === undefined || kvPages === undefined) return;
  const labels = { block_size: String(kvPageTokens), num_gpu_blocks: String(kvPages) };
  meters.gauge(
    "vllm:cache_config_info",
    "The KV cache's shape, in its labels",
    Object.keys(labels),
  ).set(labels, 1);
}

/** Prometheus' way to write the engine's names. */
function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
