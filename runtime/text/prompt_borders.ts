import type { PromptPiece } from "./template.ts";
import type { Vocabulary } from "./vocabulary.ts";
import type { EncodedChat } from "./types.ts";

/** One turn of a rendered prompt, in token counts from the prompt's start. */
interface Turn {
  readonly role: string;
  readonly start: number;
  /** Where its content starts: after `<|im_start|>role\n`, if a special token comes next. */
  readonly content: number | null;
  readonly isToolResult: boolean;
}

/**
 * Finds the borders in a prompt at which later prompts may part from it: after the system turn, before
 * the last user's turn, before the first answer to it (whose thinking a later prompt drops), and before
 * the markup that the generation starts with.
 * @param counts How many tokens each piece has.
 */
export function promptBorders(
  pieces: readonly PromptPiece[],
  counts: readonly number[],
  vocabulary: Vocabulary,
): Pick<EncodedChat, "checkpoints" | "startsInThinking"> {
  const turns = findTurns(pieces, counts, vocabulary);
  const lastUser = turns.findLastIndex(({ role, isToolResult }) =>
    role === "user" && !isToolResult
  );
  const answer = turns.slice(lastUser + 1).find(({ role }) => role === "assistant");
  const last = turns.at(-1);
  const borders = [
    turns[0]?.role === "system" ? turns[1]?.start : undefined,
    turns[lastUser]?.start,
    answer?.content,
    last?.role === "assistant" ? last.content : undefined,
  ].filter((border) => typeof border === "number" && border > 0) as number[];
  return {
    checkpoints: [...new Set(borders)].sort((a, b) => a - b),
    startsInThinking: endsInThinking(pieces, vocabulary),
  };
}

function findTurns(
  pieces: readonly PromptPiece[],
  counts: readonly number[],
  vocabulary: Vocabulary,
): Turn[] {
  const turnStart = vocabulary.idOf("<|im_start|>");
  const toolResponse = vocabulary.idOf("<tool_response>");
  const turns: Turn[] = [];
  let position = 0;
  for (const [i, piece] of pieces.entries()) {
    const header = pieces[i + 1];
    if (isToken(piece, turnStart) && header !== undefined && "text" in header) {
      const [role = "", ...rest] = header.text.split("\n", 2);
      const isBare = rest[0] === "" && header.text.length === role.length + 1;
      turns.push({
        role,
        start: position,
        content: isBare ? position + counts[i]! + counts[i + 1]! : null,
        isToolResult: isBare && isToken(pieces[i + 2], toolResponse),
      });
    }
    position += counts[i]!;
  }
  return turns;
}

/** Whether the last thinking tag after the last turn's start is an opening one. */
function endsInThinking(pieces: readonly PromptPiece[], vocabulary: Vocabulary): boolean {
  const [turnStart, open, close] = ["<|im_start|>", "<think>", "</think>"].map((token) =>
    vocabulary.idOf(token)
  );
  const last = pieces.findLast((piece) =>
    isToken(piece, open) || isToken(piece, close) || isToken(piece, turnStart)
  );
  return isToken(last, open);
}

function isToken(piece: PromptPiece | undefined, id: number | undefined): boolean {
  return piece !== undefined && id !== undefined && "special" in piece && piece.special === id;
}
