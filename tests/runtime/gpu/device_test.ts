import { assertStringIncludes } from "@std/assert";

const DEVICE = new URL("../../../runtime/gpu/device.ts", import.meta.url);

Deno.test({
  name: "openGpu() says that a driver is missing, where it once took OpenGL and hung",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const script = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(
      script,
      `import { openGpu } from ${JSON.stringify(DEVICE)};
      try { console.log((await openGpu()).name); } catch (error) { console.log(error.message); }`,
    );
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-config", "--allow-all", script],
      env: { VK_DRIVER_FILES: "/dev/null", VK_ICD_FILENAMES: "/dev/null" },
      stderr: "null",
    }).output();
    await Deno.remove(script);
    assertStringIncludes(new TextDecoder().decode(stdout), "Cannot open a GPU: no WebGPU adapter");
  },
});
