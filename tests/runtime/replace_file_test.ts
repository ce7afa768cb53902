import { assertEquals, assertThrows } from "@std/assert";
import { replaceFile } from "../../runtime/replace_file.ts";
import { withFolder } from "../weights/fixture.ts";

Deno.test("replaceFile() makes the folder, and replaces what was there by all of the text", () =>
  withFolder((folder) => {
    const path = `${folder}/new/kept.json`;
    replaceFile(path, "a longer text");
    replaceFile(path, "short");
    assertEquals(Deno.readTextFileSync(path), "short");
    assertEquals([...Deno.readDirSync(`${folder}/new`)].map(({ name }) => name), ["kept.json"]);
  }));

// A full disk once left empty files behind.
Deno.test("replaceFile() leaves nothing behind where it cannot write, and says why in a few words", () =>
  withFolder((folder) => {
    Deno.mkdirSync(`${folder}/taken`);
    assertThrows(() => replaceFile(`${folder}/taken`, "text"), Error, "is a directory");
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["taken"]);
    assertThrows(() => replaceFile("/dev/null/kept", "text"), Error, "file exists");
  }));
