import { assertEquals, assertThrows } from "@std/assert";
import { OptionError, parseOptions, parseSize, parseVram } from "../../runtime/options.ts";

const noEnv = () => undefined;

Deno.test("parseOptions() serves the demo model on loopback unless told otherwise", () => {
  const { engine, server } = parseOptions([], noEnv, "weights/demo");
  assertEquals([engine.model, server.host, server.port], ["weights/demo", "127.0.0.1", 8080]);
  assertEquals([engine.vram, engine.context, engine.stateCacheBytes], [null, null, 2 ** 30]);
});

Deno.test("parseOptions() lets a flag win over its environment twin, and PORT over the default", () => {
  const env = (name: string) =>
    ({ DELTAPAGE_VRAM: "4G", DELTAPAGE_QUEUE: "3", PORT: "9000" })[name];
  const { engine, server } = parseOptions(["--vram", "8G"], env, "demo");
  assertEquals([engine.vram, engine.maxWaiting, server.port], ["8G", 3, 9000]);
});

Deno.test("parseOptions() takes an empty variable for one that is not there", () => {
  const { engine, server } = parseOptions([], () => "", "demo");
  assertEquals([engine.model, engine.vram, server.port], ["demo", null, 8080]);
});

Deno.test("parseVram() reads sizes and shares", () => {
  assertEquals(["8G", "80%", "12.5 %"].map(parseVram), [
    { bytes: 8 * 2 ** 30 },
    { share: 0.8 },
    { share: 0.125 },
  ]);
});

Deno.test("parseOptions() names the flag, what was found and what was wanted", () => {
  for (
    const [args, text] of [
      [
        ["--port", "99999"],
        'Cannot read --port: found "99999", wanted a whole number from 0 to 65535',
      ],
      [["--max-sequences", "17"], "from 1 to 16"],
      [["--kv", "f8"], 'Cannot read --kv: found "f8", wanted f32 or f16'],
      [
        ["--residency", "all"],
        'Cannot read --residency: found "all", wanted auto or resident or host or paged',
      ],
      [["--run-ahead", "33"], 'Cannot read --run-ahead: found "33"'],
      [["--state-cache", "many"], "wanted bytes or a size such as 8G"],
      [["--api-key-file", "/nonexistent/keys"], 'Cannot read --api-key-file "/nonexistent/keys"'],
      [["--cors-origins", "app.example"], 'Cannot read --cors-origins: found "app.example"'],
      [["--vram", "8X"], 'Cannot read --vram: found "8X", wanted a size such as 8G or a share'],
      [["--vram", "120%"], 'Cannot read --vram: found "120%"'],
      [["--speed", "11"], "Cannot read the options: Unknown option '--speed'; --help lists them"],
      [
        ["--vram", "-5G"],
        "--vram lacks its value; one that begins with a dash is written --vram=-1",
      ],
      [["serve"], "serve"],
    ] as const
  ) {
    assertThrows(() => parseOptions(args, noEnv, "demo"), OptionError, text);
  }
});

Deno.test("parseOptions() keeps keys and values as f32 unless asked for f16", () => {
  const kv = (...args: string[]) => parseOptions(args, noEnv, "demo").engine.kv;
  assertEquals([kv(), kv("--kv", "f32"), kv("--kv", "f16")], ["f32", "f32", "f16"]);
});

Deno.test("parseOptions() reads origins by commas, and allows none unless asked", () => {
  const origins = (...args: string[]) => parseOptions(args, noEnv, "demo").server.corsOrigins;
  assertEquals(origins(), []);
  assertEquals(origins("--cors-origins", "https://a.example, http://localhost:3000"), [
    "https://a.example",
    "http://localhost:3000",
  ]);
  assertEquals(origins("--cors-origins", "*"), ["*"]);
});

Deno.test("parseOptions() lets the engine choose how far it runs ahead unless told", () => {
  const steps = (...args: string[]) => parseOptions(args, noEnv, "demo").engine.runAhead;
  assertEquals([steps(), steps("--run-ahead", "auto"), steps("--run-ahead", "8")], [null, null, 8]);
});

Deno.test("parseSize() knows binary units", () => {
  assertEquals(["123", "8G", "1.5m", "64KiB"].map((text) => parseSize("vram", text)), [
    123,
    8 * 2 ** 30,
    1.5 * 2 ** 20,
    65536,
  ]);
});
