/** deploy/run and .ci/run, with a Deno that only says how it was called. @module */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { LIBC_PATHS } from "../../weights/mod.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a script of the project with a stand-in for Deno, whose body after the version check is given. */
async function run(
  script: string,
  args: readonly string[],
  { body = `printf '%s\\n' "$@"`, version = "2.9.6", env = {}, cwd = "/" }: {
    readonly body?: string;
    readonly version?: string;
    readonly env?: Record<string, string>;
    readonly cwd?: string;
  } = {},
): Promise<Outcome> {
  const folder = await Deno.makeTempDir();
  const stub = `#!/bin/sh
if [ "$1" = --version ]; then echo "deno ${version} (stable)"; exit; fi
if [ "$1" = install ]; then exit; fi
${body}
`;
  await Deno.writeTextFile(`${folder}/deno`, stub, { mode: 0o755 });
  const output = await new Deno.Command(`${ROOT}/${script}`, {
    args: [...args],
    cwd,
    clearEnv: true,
    env: {
      PATH: `${folder}:/usr/bin:/bin:/usr/sbin:/sbin`,
      HOME: folder,
      // Stands for a driver, so that none is looked for or installed.
      VK_DRIVER_FILES: "/dev/null",
      LD_LIBRARY_PATH: folder,
      DELTAPAGE_NO_INSTALL: "1",
      ...env,
    },
  }).output();
  await Deno.remove(folder, { recursive: true });
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, out: text(output.stdout), err: text(output.stderr) };
}

/** The permissions that serve was started with. */
async function permissions(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string[]> {
  const { code, out, err } = await run("deploy/run", ["serve", ...args], { env });
  assertEquals([code, err], [0, ""]);
  return out.split("\n").filter((line) => /^-(A|-allow)/.test(line)).sort();
}

/** Given where no limit makes it untrue. */
const RAM = "--allow-sys=systemMemoryInfo";

const LIBC = LIBC_PATHS.find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

Deno.test("deploy/run serve asks for the listen address, the project, libc and the size of RAM, and nothing else", async () => {
  const found = await permissions([]);
  assertEquals(found.filter((flag) => flag !== RAM), [
    "--allow-env=DELTAPAGE_*,PORT",
    `--allow-ffi=${LIBC}`,
    "--allow-net=127.0.0.1:8080",
    `--allow-read=${ROOT}`,
  ]);
});

Deno.test("deploy/run serve allows what its options and their environment twins name", async () => {
  const cache = await Deno.makeTempDir();
  const named = await permissions(
    [
      "--model",
      "/m",
      "--host=0.0.0.0",
      "--port",
      "9",
      "--api-key-file",
      "/k",
      "--cache-dir",
      cache,
      "--warm",
      "/w",
    ],
    { DELTAPAGE_PORT: "1" },
  );
  assertEquals(named.filter((flag) => !/ffi|env|sys/.test(flag)), [
    "--allow-net=0.0.0.0:9",
    `--allow-read=${ROOT},/m,/k,${cache},/w`,
    `--allow-write=${cache}`,
  ]);
  const twins = await permissions([], {
    DELTAPAGE_MODEL: "/m",
    DELTAPAGE_HOST: "::1",
    PORT: "81",
  });
  assert(twins.includes("--allow-net=[::1]:81"), `${twins}`);
  assert(twins.includes(`--allow-read=${ROOT},/m`), `${twins}`);
  const empty = await permissions([], { DELTAPAGE_HOST: "", DELTAPAGE_PORT: "", PORT: "" });
  assert(empty.includes("--allow-net=127.0.0.1:8080"), `${empty}`);
  assert((await permissions(["--port", "0"])).includes("--allow-net=127.0.0.1"));
  const local = await permissions(["--host", "localhost"]);
  assert(local.includes("--allow-net=127.0.0.1:8080"), `${local}`);
  await Deno.remove(cache, { recursive: true });
});

Deno.test("deploy/run gpu-report runs the report with what it is given", async () => {
  const { code, out } = await run("deploy/run", ["gpu-report", "--budgets", "8G"]);
  const lines = out.trimEnd().split("\n");
  assertEquals(code, 0);
  assertEquals(lines.slice(-3), [`${ROOT}/tests/gpu_report/main.ts`, "--budgets", "8G"]);
  assert(lines.includes("--cached-only"), out);
});

Deno.test("deploy/run pack makes an archive that another machine's deploy/run uses", async () => {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  const file = `${folder}/pack.tar.gz`;
  const packed = await run("deploy/run", ["pack", file], {
    env: { NPM_CONFIG_REGISTRY: "https://npm.example" },
  });
  assertEquals(packed.code, 0, packed.err);
  const home = `${folder}/home`;
  await Deno.mkdir(`${home}/deno_dir`, { recursive: true });
  const tar = new Deno.Command("tar", { args: ["-xzf", file, "-C", home] });
  assertEquals((await tar.output()).code, 0);
  assert((await Deno.stat(`${home}/deno-2.9.6/deno`)).isFile);
  // The stand-in on the PATH would tell the same: what it is told comes from the archive.
  const { out } = await run("deploy/run", ["gpu-report"], {
    env: { DELTAPAGE_HOME: home },
    body: `printf '%s %s' "$DENO_DIR" "$NPM_CONFIG_REGISTRY"`,
  });
  assertEquals(out, `${home}/deno_dir https://npm.example`);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("deploy/run serve may read where a snapshot's links point", async () => {
  const cache = await Deno.realPath(await Deno.makeTempDir());
  await Deno.mkdir(`${cache}/blobs`);
  await Deno.mkdir(`${cache}/snapshots/a b`, { recursive: true });
  await Deno.writeTextFile(`${cache}/blobs/1`, "{}");
  await Deno.symlink("../../blobs/1", `${cache}/snapshots/a b/config.json`);
  await Deno.symlink("../../blobs/1", `${cache}/snapshots/a b/index.json`);
  // Shards may lie on several disks: once only the first link was followed.
  await Deno.symlink("../../1.safetensors", `${cache}/snapshots/a b/model.safetensors`);
  await Deno.writeTextFile(`${cache}/1.safetensors`, "");
  const flags = await permissions(["--model", `${cache}/snapshots/a b`]);
  const read = `--allow-read=${ROOT},${cache}/snapshots/a b,${cache}/blobs,${cache}`;
  assert(flags.includes(read), `${flags}`);
  await Deno.remove(cache, { recursive: true });
});

Deno.test("deploy/run says in a line what is wrong with an address, a port, a folder or an archive", async () => {
  const nowhere = "/proc/nowhere/x";
  for (
    const [args, wanted, line] of [
      [["serve", "--host", "a b"], 2, 'Cannot listen on "a b"'],
      [["serve", "--model", "a,b"], 2, 'Cannot allow "a,b"'],
      [["serve", "--cache-dir", nowhere], 2, `Cannot make the folder "${nowhere}"`],
      [["pack", nowhere], 1, `Cannot pack into "${nowhere}"`],
      [["pack"], 2, "Cannot pack: wanted the name of one archive"],
      [["pack", ""], 2, "Cannot pack: wanted the name of one archive"],
      // It once made an archive of that name.
      [["pack", "--help"], 2, 'Cannot pack into "--help"'],
    ] as const
  ) {
    const { code, err } = await run("deploy/run", args);
    assertEquals([code, err.split("\n").length, err.includes(line)], [wanted, 2, true], err);
  }
  // Once Deno refused these itself, with a stack: the server has a line for them.
  for (const port of ["80x", "", "65536", "999999999999999999999"]) {
    assert((await permissions(["--port", port])).includes("--allow-net=127.0.0.1"), port);
  }
});

Deno.test("deploy/run leaves OpenGL alone, which hung the start where Vulkan was missing", async () => {
  const backend = { body: `printf %s "$DENO_WEBGPU_BACKEND"` };
  const wanted = Deno.build.os === "linux" ? "vulkan" : "";
  assertEquals((await run("deploy/run", ["serve"], backend)).out, wanted);
  const named = { ...backend, env: { DENO_WEBGPU_BACKEND: "gl" } };
  assertEquals((await run("deploy/run", ["serve"], named)).out, "gl");
});

// Where no folder could be made, it once ended before it began, with mktemp's words.
Deno.test("deploy/run goes on where nothing may be written, and says where Deno cannot go", async () => {
  const nowhere = { HOME: "/proc/x", DELTAPAGE_HOME: "/proc/x", TMPDIR: "/proc/x" };
  const body = `printf %s "\${XDG_RUNTIME_DIR-none}"`;
  const { code, out, err } = await run("deploy/run", ["serve"], { body, env: nowhere });
  assertEquals([code, out, err], [0, "none", ""]);
  const without = await run("deploy/run", ["serve"], { version: "2.0.0", env: nowhere });
  assertEquals(without.code, 1);
  assertStringIncludes(without.err, 'Cannot write to "/proc/x", where Deno would go');
});

Deno.test("deploy/run passes options and exit codes through", async () => {
  const serve = await run("deploy/run", ["serve", "--vram", "8G", "--context=9"]);
  assert(serve.out.endsWith(`${ROOT}/main.ts\nserve\n--vram\n8G\n--context=9\n`), serve.out);
  const test = await run("deploy/run", ["test", "--fail-fast"]);
  assert(test.out.endsWith("--allow-all\n--fail-fast\ntests/\n"), test.out);
  const one = await run("deploy/run", ["test", "tests/x.ts"]);
  assert(one.out.endsWith("--allow-all\ntests/x.ts\n"), one.out);
  assertEquals((await run("deploy/run", ["test"], { body: "exit 7" })).code, 7);
});

Deno.test("deploy/run test forgives a death on the way out only when the report says that all passed", async () => {
  const dying = (report: string) =>
    `for a in "$@"; do case $a in --junit-path=*) printf '%s' '${report}' > "\${a#*=}" ;; esac; done; kill -ABRT $$`;
  const codeOf = async (report: string) => {
    const { code, err } = await run("deploy/run", ["test"], { body: dying(report) });
    assertEquals(code === 0, err.includes("every test passed"));
    return code;
  };
  assertEquals(await codeOf('<testsuites name="x" tests="2" failures="0" errors="0" time="1">'), 0);
  assertEquals(
    await codeOf('<testsuites name="x" tests="2" failures="1" errors="0" time="1">'),
    134,
  );
  assertEquals(await codeOf(""), 134);
});

Deno.test("deploy/run explains itself, and refuses what it does not know", async () => {
  const help = await run("deploy/run", []);
  assertEquals(help.code, 0);
  assertStringIncludes(help.out, "deploy/run serve [--model DIR]");
  const wrong = await run("deploy/run", ["sing"]);
  assertEquals(wrong.code, 2);
  assertStringIncludes(wrong.err, 'Cannot run "sing"');
});

Deno.test("deploy/run says how to get a Vulkan driver where it may not install one", async () => {
  const env = { VK_DRIVER_FILES: "", LD_LIBRARY_PATH: "", HOME: "/nonexistent" };
  const { code, err } = await run("deploy/run", ["serve"], {
    env: { ...env, DELTAPAGE_HOME: "/tmp" },
  });
  // A machine with a driver starts; one without is told what to install.
  if (code !== 0) assertStringIncludes(err, "apt-get install --no-install-recommends libvulkan1");
});

Deno.test(".ci/run ends with the counts and keeps the exit code", async () => {
  for (
    const [printed, exit, last] of [
      ["ok | 12 passed (3 steps) | 0 failed | 1 ignored (3s)", 0, "12 passed, 0 failed"],
      ["FAILED | 10 passed | 2 failed (1m2s)", 1, "10 passed, 2 failed"],
      ["error: it does not compile", 1, "0 passed, 1 failed"],
      ["ok | 5 passed | 0 failed (1s)", 1, "5 passed, 1 failed"],
    ] as const
  ) {
    const { code, out } = await run(".ci/run", [], { body: `echo "${printed}"; exit ${exit}` });
    assertEquals([code, out.trimEnd().split("\n").at(-1)], [exit, last]);
  }
});
