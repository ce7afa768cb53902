/** Cosines and sines of the rotary embedding, computed on the host: shaders need no sin of a million. @module */
import type { RopeConfig } from "./rope_config.ts";

/** Positions of one row on the time, height and width axes; all three equal for text. */
export type RopePositions = readonly [time: number, height: number, width: number];

/** Writes the row of `positions` at `out[offset]`: rotaryDim / 2 pairs (cos, sin). */
export type RopeRow = (
  positions: RopePositions,
  out: Float32Array | Float64Array,
  offset: number,
) => void;

/** Makes the writer of rotary rows of a model whose heads rotate their first `rotaryDim` elements. */
export function ropeRow(rotaryDim: number, config: RopeConfig): RopeRow {
  const frequencies = ropeFrequencies(rotaryDim, config);
  const axes = frequencies.map((_, j) => ropeAxis(j, config.mropeSection));
  const factor = config.scaling.type === "yarn" ? config.scaling.attentionFactor : 1;
  return (positions, out, offset) => {
    for (let j = 0; j < frequencies.length; j++) {
      const angle = positions[axes[j] as 0 | 1 | 2] * frequencies[j]!;
      out[offset + 2 * j] = Math.cos(angle) * factor;
      out[offset + 2 * j + 1] = Math.sin(angle) * factor;
    }
  };
}

/** The inverse frequency of each of the rotaryDim / 2 pairs, stretched by YaRN where the config asks for it. */
export function ropeFrequencies(rotaryDim: number, config: RopeConfig): Float64Array {
  const plain = Float64Array.from(
    { length: rotaryDim / 2 },
    (_, j) => config.theta ** (-2 * j / rotaryDim),
  );
  const { scaling } = config;
  if (scaling.type === "default") return plain;
  // Peng et al., "YaRN", arXiv:2309.00071: the frequency that turns `rotations` times over the original length.
  const bound = (rotations: number) =>
    rotaryDim * Math.log(scaling.originalMax / (2 * Math.PI * rotations)) /
    (2 * Math.log(config.theta));
  const round = scaling.truncate;
  const low = Math.max(0, round ? Math.floor(bound(scaling.betaFast)) : bound(scaling.betaFast));
  const high = Math.min(
    rotaryDim - 1,
    round ? Math.ceil(bound(scaling.betaSlow)) : bound(scaling.betaSlow),
  );
  // An empty ramp becomes a step, as in transformers.
  const width = high === low ? 0.001 : high - low;
  return plain.map((frequency, j) => {
    const ramp = Math.min(1, Math.max(0, (j - low) / width));
    return frequency * (1 - ramp) + frequency / scaling.factor * ramp;
  });
}

/** The axis that pair `j` turns with: 0 time, 1 height, 2 width, interleaved by the counts of `section`. */
export function ropeAxis(j: number, section: RopeConfig["mropeSection"]): 0 | 1 | 2 {
  const axis = j % 3 as 0 | 1 | 2;
  return j < 3 * section[axis] ? axis : 0;
}
