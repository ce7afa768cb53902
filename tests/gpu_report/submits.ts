/** How long one submission may take before the driver loses patience: question (i). @module */
import { openGpu } from "../../runtime/gpu/device.ts";
import { time } from "../../runtime/forecast/derived.ts";
import { Stopwatch } from "../../runtime/forecast/stopwatch.ts";
import { multiplyProbe } from "../../shaders/probe/probe.ts";
import type { Report } from "./finding.ts";
import type { ReportOptions } from "./options.ts";

/** Of which a submission is made, seconds. */
const DISPATCH_SECONDS = 0.02;

/** Doubles the time of one submission until the device is lost or the limit is reached. */
export async function reportSubmits(
  report: Report,
  { longestSubmit }: Pick<ReportOptions, "longestSubmit">,
): Promise<void> {
  const gpu = await openGpu();
  let lost = "";
  gpu.device.lost.then(({ message }) => lost = message || "the device was lost");
  const watch = await Stopwatch.open(gpu, { sampleMs: 20, samples: 2 });
  const { spec, grid, outputBytes } = multiplyProbe(gpu.software ? 64 : 4096, 64);
  const work = watch.kernel(spec, { ends: watch.buffer(outputBytes) }, grid);
  const each = await watch.seconds(work);
  let longest = 0;
  const tell = (more: string) =>
    report({
      section: "questions",
      name: "(i) longest submission",
      found: `${time(longest)} ${more}`,
      how: `dispatches of ${time(each)}, doubled up to --longest-submit ${longestSubmit} s`,
      data: { longest, lost: lost !== "" },
    });
  for (let wanted = DISPATCH_SECONDS; lost === "" && wanted <= longestSubmit * 1.01; wanted *= 2) {
    try {
      longest = Math.max(longest, await watch.once(() => work(Math.ceil(wanted / each))));
    } catch (error) {
      lost = (error as Error).message;
    }
  }
  tell(lost === "" ? "was no trouble" : `was the longest that came back; then: ${lost}`);
  if (lost === "") {
    await watch.close();
    gpu.device.destroy();
  }
}
