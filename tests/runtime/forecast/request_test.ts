import { assertEquals, assertThrows } from "@std/assert";
import { DEVICES } from "../../../runtime/forecast/devices.ts";
import { FORECAST_HELP, parseForecastOptions } from "../../../runtime/forecast/options.ts";
import {
  FORECAST_OPTIONS,
  ForecastOptionError,
  forecastRequest,
} from "../../../runtime/forecast/request.ts";
import { requestOf } from "./ask.ts";

const GOLDEN = `${import.meta.dirname}/../../golden/parity`;

Deno.test("parseForecastOptions() takes a config.json, a device or numbers", () => {
  const tiny = requestOf(`--model ${GOLDEN}/tiny_fp8/config.json --device l4`);
  assertEquals(tiny.subject.config.hidden, 64);
  assertEquals(requestOf(`--model ${GOLDEN}/tiny_fp8 --device l4`).subject.config.hidden, 64);
  assertEquals(requestOf("--device l4 --vram 10G").device, { ...DEVICES.l4!, vram: 10 * 2 ** 30 });
  assertEquals(requestOf("--vram 1G --bandwidth 100").device.bandwidth, 1e11);
  const all = requestOf(
    "--device l4 --ram 64G --link 12 --host 2 --disk 7 --tflops 20 --context 9000 --sequences 2 " +
      "--kv f16 --chunk 64",
  );
  const { ram, link, host, disk, flops } = all.device;
  assertEquals([ram, link, host, disk, flops], [64 * 2 ** 30, 12e9, 2e9, 7e9, 2e13]);
  const { context, maxSequences, kv, chunkRows } = all.choice;
  assertEquals([context, maxSequences, kv, chunkRows], [9000, 2, "f16", 64]);
  assertEquals(parseForecastOptions(["--device", "l4", "--svg", "x.svg"]).svg, "x.svg");
});

Deno.test("parseForecastOptions() says what is wrong", () => {
  for (
    const [line, message] of [
      ["--model 35B-A3B", 'Cannot read --device: found "nothing"'],
      ["--device abacus", 'Cannot read --device: found "abacus", wanted t4'],
      ["--device toString", 'Cannot read --device: found "toString"'],
      [
        "--device l4 --model nowhere.json",
        'Cannot read --model: found "nowhere.json: no such file"',
      ],
      ["--device l4 --kv int8", 'Cannot read --kv: found "int8", wanted f32 or f16'],
      ["--device l4 --context 0", "Cannot read --context"],
      ["--device l4 --context 999999", "wanted a whole number from 2 to 262144"],
      ["--device l4 --sequences 17", "wanted a whole number from 1 to 16"],
      ["--device l4 --link fast", "Cannot read --link"],
      ["--device l4 --ram 0", "Cannot read --ram"],
      ["--device l4 --vram much", 'Cannot read --vram: found "much", wanted bytes or a size'],
      ["--device l4 --colour red", "Cannot read the options: Unknown option '--colour'; --help"],
      ["35B-A3B", "Cannot read the options: Unexpected argument '35B-A3B'; --help lists them"],
    ] as const
  ) assertThrows(() => requestOf(line), ForecastOptionError, message);
});

Deno.test("forecastRequest() opens no file where none may be opened", () => {
  const model = `${GOLDEN}/tiny_fp8/config.json`;
  assertThrows(
    () => forecastRequest({ model, device: "l4" }, { files: false }),
    ForecastOptionError,
    "wanted 35B-A3B, 122B-A10B",
  );
});

Deno.test("forecastRequest() takes the defaults for what is not said", () => {
  const { subject } = requestOf("--model 0.8B --device t4");
  const own = { ...DEVICES.t4!, usable: 1, vram: 2 ** 31 };
  const defaults = {
    subject,
    device: own,
    choice: { kv: "f16" },
    files: false,
  } as const;
  const plain = forecastRequest({}, defaults);
  assertEquals([plain.subject, plain.device], [subject, own]);
  assertEquals(plain.choice.kv, "f16");
  // A size that is given is a card's, of which not all is planned with.
  const { device } = forecastRequest({ vram: "4G" }, defaults);
  assertEquals([device.vram, device.usable, device.bandwidth], [2 ** 32, 0.94, own.bandwidth]);
  assertEquals(forecastRequest({ model: "35B-A3B" }, defaults).subject.config.layers, 40);
});

Deno.test("FORECAST_HELP lists every setting in lines that fit a terminal", () => {
  for (const [name] of FORECAST_OPTIONS) assertEquals(FORECAST_HELP.includes(`--${name} `), true);
  assertEquals(FORECAST_HELP.split("\n").every((line) => line.length <= 100), true);
});
