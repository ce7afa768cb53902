/** Long texts in slices that can be encoded one by one. @module */

/**
 * A border that no word of the family's tokenizers spans: a letter, mark or digit, and after it none of them. Their
 * patterns end a word there whatever comes next; the one that looks ahead, `\s+(?!\S)`, does not end in a letter. Nor
 * does NFC join anything across it, since all that joins to its left are marks and letters.
 */
const BORDER = /[\p{L}\p{M}\p{N}](?![\p{L}\p{M}\p{N}])/gu;

/**
 * A text in slices of at least `length` UTF-16 units but the last, whose token ids are together those of the whole. What
 * has no border in it stays whole: a single word is never divided.
 */
export function* textSlices(text: string, length: number): Generator<string> {
  let start = 0;
  while (text.length - start > length) {
    BORDER.lastIndex = start + length - 1;
    const border = BORDER.exec(text);
    if (border === null) break;
    const end = border.index + border[0].length;
    yield text.slice(start, end);
    start = end;
  }
  if (start < text.length) yield text.slice(start);
}
