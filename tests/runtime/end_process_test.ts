import { assertEquals } from "@std/assert";

const MODULE = new URL("../../runtime/end_process.ts", import.meta.url).href;
/** Says something when the runtime begins to clean up. */
const PROGRAM = `
  import { endProcess } from "${MODULE}";
  addEventListener("unload", () => console.log("unloading"));
  console.log("said before");
  console.error("and this");
  endProcess(3);
`;

async function run(...permissions: string[]) {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, PROGRAM);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "--no-config", ...permissions, file],
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trimEnd().split("\n");
    return { code, said: text(stdout), errors: text(stderr) };
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("endProcess() ends with the code and what was said, and lets nobody clean up", async () => {
  // Ending while the driver compiled crashed with code 139, once in some fifty times.
  const { code, said, errors } = await run("--allow-read", "--allow-ffi");
  assertEquals([code, said, errors], [3, ["said before"], ["and this"]]);
});

Deno.test("endProcess() ends with the code where it may not call libc, too", async () => {
  const { code, said } = await run("--allow-read");
  assertEquals([code, said], [3, ["said before", "unloading"]]);
});
