/**
 * The byte-level alphabet of GPT-2: every byte has one printable character, so that a vocabulary of
 * byte strings can be written as text. Printable Latin-1 stands for itself, the rest follows from 256.
 * @module
 */

const BYTE_TO_CHAR: readonly string[] = alphabet();
const CHAR_TO_BYTE: ReadonlyMap<string, number> = new Map(
  BYTE_TO_CHAR.map((char, byte) => [char, byte]),
);

/** The bytes that a vocabulary entry stands for; one with other characters stands for its own UTF-8. */
export function pieceToBytes(piece: string): Uint8Array {
  const bytes = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i++) {
    const byte = CHAR_TO_BYTE.get(piece.charAt(i));
    if (byte === undefined) return new TextEncoder().encode(piece);
    bytes[i] = byte;
  }
  return bytes;
}

/** The vocabulary entry that these bytes would have. */
export function bytesToPiece(bytes: Uint8Array): string {
  let piece = "";
  for (const byte of bytes) piece += BYTE_TO_CHAR[byte];
  return piece;
}

function alphabet(): string[] {
  const chars: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) ||
      byte >= 0xae;
    chars.push(String.fromCharCode(printable ? byte : next++));
  }
  return chars;
}
