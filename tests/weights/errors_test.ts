import { assertEquals } from "@std/assert";
import { readReason } from "../../weights/errors.ts";

Deno.test("readReason() keeps the system's words, without number, call and path", () => {
  const reasonOf = (path: string) => {
    try {
      return Deno.readTextFileSync(path);
    } catch (error) {
      return readReason(error);
    }
  };
  assertEquals(reasonOf("/nonexistent"), "no such file");
  assertEquals(reasonOf("/"), "is a directory");
  assertEquals(readReason(new SyntaxError("Found a hole")), "Found a hole");
});
