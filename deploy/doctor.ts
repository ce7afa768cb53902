/**
 * Says what this machine has, what it lacks for serving, and how to mend it. Exit code 1 if serving
 * cannot work.
 *
 *     deploy/run doctor [--model DIR]
 *
 * @module
 */
import { parseArgs } from "node:util";
import { TextModel } from "../runtime/mod.ts";
import { size } from "../runtime/plan.ts";
import { openCheckedSnapshot, parameterCount, readSnapshotConfig } from "../runtime/snapshot.ts";
import { LIBC_PATHS } from "../weights/mod.ts";
import { checkAdapter, checkDriverFiles, type Finding } from "./doctor_gpu.ts";

/** The Deno that the project is tested with; `deploy/run` gets it. */
export const DENO_VERSION = "2.9.6";

/** Looks at everything; never throws. */
export async function examine(model: string): Promise<Finding[]> {
  const { findings, bytes } = await checkModel(model);
  return [
    checkDeno(),
    ...checkDriverFiles(),
    ...await checkAdapter(),
    checkFfi(),
    ...findings,
    checkMemory(bytes),
  ];
}

/** Findings as text: a line each, and one below it that says how to mend. */
export function report(findings: readonly Finding[]): string {
  const mark = { ok: "ok  ", note: "note", bad: "BAD " };
  const lines = findings.flatMap(({ level, what, found, mend }) => [
    `${mark[level]}  ${what.padEnd(14)} ${found}`,
    ...(mend && level !== "ok" ? [`      ${"".padEnd(14)} mend: ${mend}`] : []),
  ]);
  const bad = findings.filter(({ level }) => level === "bad").length;
  return [...lines, "", bad === 0 ? "Ready to serve" : `Cannot serve: ${bad} to mend`].join("\n");
}

function checkDeno(): Finding {
  const { deno, v8 } = Deno.version;
  const found = `${deno}, V8 ${v8}, ${Deno.build.target}`;
  return deno === DENO_VERSION
    ? { level: "ok", what: "Deno", found }
    : { level: "note", what: "Deno", found, mend: `deploy/run gets ${DENO_VERSION}` };
}

function checkFfi(): Finding {
  const what = "FFI";
  for (const path of LIBC_PATHS) {
    try {
      const { symbols } = Deno.dlopen(path, { getpid: { parameters: [], result: "i32" } });
      if (symbols.getpid() === Deno.pid) {
        return { level: "ok", what, found: `${path} answers: weights can be memory-mapped` };
      }
    } catch { /* not this system's libc, or not allowed */ }
  }
  const mend = `start with --allow-ffi=${LIBC_PATHS[0]}, as deploy/run does`;
  const found = "libc may not be called: weights are read by pread, a little slower";
  return { level: "note", what, found, mend };
}

/** Opens a snapshot folder as the server would; also says how many bytes its tensors have. */
export async function checkModel(folder: string): Promise<{ findings: Finding[]; bytes: number }> {
  const what = "Model";
  const findings: Finding[] = [];
  let bytes = 0;
  try {
    const { config } = readSnapshotConfig(folder);
    const snapshot = openCheckedSnapshot(folder, config);
    bytes = snapshot.byteLength;
    const parameters = (parameterCount(snapshot) / 1e6).toFixed(1);
    const found = `${folder}: ${parameters} million parameters, ${
      size(bytes)
    }, by ${snapshot.kind}`;
    findings.push({ level: "ok", what, found });
    for (const warning of snapshot.warnings) findings.push({ level: "note", what, found: warning });
    snapshot.close();
  } catch (error) {
    const mend = "download the snapshot again, or name another folder with --model";
    findings.push({ level: "bad", what, found: (error as Error).message, mend });
  }
  if (isFolder(folder)) findings.push(await checkText(folder));
  return { findings, bytes };
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

async function checkText(folder: string): Promise<Finding> {
  const what = "Text";
  try {
    const { tokenizer, template } = await TextModel.load(folder);
    if (tokenizer.size === 0) {
      const found = "no tokenizer.json: prompts only as token ids";
      return { level: "note", what, found, mend: "put the model's tokenizer.json into the folder" };
    }
    const found = `tokenizer with ${tokenizer.size} ids`;
    if (template) return { level: "ok", what, found: `${found} and a chat template` };
    const mend = "put the model's chat_template.jinja into the folder";
    return { level: "note", what, found: `${found}, no chat template: completions only`, mend };
  } catch (error) {
    const mend = "download the model's tokenizer.json and chat template again";
    return { level: "bad", what, found: (error as Error).message, mend };
  }
}

function checkMemory(modelBytes: number): Finding {
  const { total, available } = Deno.systemMemoryInfo();
  const found = `${size(available)} free of ${size(total)}`;
  const what = "RAM";
  if (available < 2 ** 29) {
    const mend = "end other programs: at least 512 MiB have to be free";
    return { level: "bad", what, found, mend };
  }
  if (available < modelBytes) {
    const mend = "more RAM: experts that the page cache cannot keep are read from disk again";
    return { level: "note", what, found: `${found}, the weights have ${size(modelBytes)}`, mend };
  }
  return { level: "ok", what, found };
}

/**
 * The folder that `--model` or DELTAPAGE_MODEL names, else the demo.
 * @throws {TypeError} for any other option
 */
export function modelFolder(
  args: readonly string[],
  env: (name: string) => string | undefined,
): string {
  const options = { model: { type: "string" } } as const;
  const { model } = parseArgs({ args: [...args], options, strict: true }).values;
  return model ?? (env("DELTAPAGE_MODEL") || new URL("../weights/demo", import.meta.url).pathname);
}

function modelFolderOrExit(): string {
  try {
    return modelFolder(Deno.args, (name) => Deno.env.get(name));
  } catch (error) {
    const [reason] = (error as Error).message.split(/\.\s/);
    console.error(`deltapage: Cannot read the options: ${reason}; wanted --model DIR or nothing`);
    Deno.exit(2);
  }
}

if (import.meta.main) {
  if (Deno.args.includes("--help")) {
    console.log("Usage: deploy/run doctor [--model DIR]");
    Deno.exit(0);
  }
  const findings = await examine(modelFolderOrExit());
  console.log(report(findings));
  Deno.exit(findings.some(({ level }) => level === "bad") ? 1 : 0);
}
