/** The report as Markdown. @module */
import { digits, percent, time } from "../../runtime/forecast/derived.ts";
import { type Finding, QUESTIONS, type Section, SECTIONS } from "./finding.ts";
import type { PartResult } from "./run_part.ts";

/** Everything that the report says. */
export interface WholeReport {
  readonly started: string;
  readonly command: string;
  readonly commit: string;
  readonly seconds: number;
  readonly parts: readonly PartResult[];
}

/** The report for people: the model's table, what was left out, then every line. */
export function markdown({ started, command, commit, seconds, parts }: WholeReport): string {
  const findings = parts.flatMap((part) => part.findings);
  const sections = Object.entries(SECTIONS).map(([key, title]) => {
    const lines = findings.filter(({ section }) => section === key as Section);
    if (key === "questions") {
      lines.push(...unanswered(lines, parts));
      lines.sort((a, b) => a.name.localeCompare(b.name));
    }
    return lines.length === 0 ? "" : `## ${title}\n\n${table(lines)}\n`;
  });
  return [
    "# GPU report\n",
    `${started}, commit ${commit}, ${time(seconds)}: \`${command}\`\n`,
    summary(findings),
    leftOut(parts),
    ...sections,
  ].filter((text) => text !== "").join("\n");
}

/** A line for every question that has no answer, with what became of the part that should have given it. */
function unanswered(lines: readonly Finding[], parts: readonly PartResult[]): Finding[] {
  return QUESTIONS
    .filter(([letter]) => !lines.some(({ name }) => name.startsWith(letter)))
    .map(([letter, question, part]) => {
      const status = parts.find((result) => result.part === part)?.status ?? "not run";
      const found = `not answered: ${part} ${status}`;
      return { section: "questions", name: `${letter} ${question}`, found };
    });
}

function table(findings: readonly Finding[]): string {
  const rows = findings.map(({ name, found, how }) => row([name, found, how ?? ""]));
  return ["| what | found | how |", "|---|---|---|", ...rows].join("\n");
}

function row(cells: readonly string[]): string {
  const safe = cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " "));
  return `| ${safe.join(" | ")} |`;
}

/** One row a budget. */
function summary(findings: readonly Finding[]): string {
  const speeds = findings.filter(({ section, data }) => section === "speed" && data);
  const budgets = [...new Set(speeds.map(({ name }) => name.split(": ")[0]!))]
    .filter((name) => !name.endsWith(", cold"));
  if (budgets.length === 0) return "";
  const prompts = [
    ...new Set(
      speeds.map(({ name }) => /: prompt of (\d+)$/.exec(name)?.[1]).filter((n) => n !== undefined),
    ),
  ];
  const head = [
    ...["budget", "slots", "tokens/s", "of the roofline", "hits", "of the link"],
    ...["first token", ...prompts.map((length) => `prompt of ${length}, tokens/s`)],
  ];
  const rows = budgets.map((budget) => {
    const data = (what: string) => speeds.find(({ name }) => name === `${budget}: ${what}`)?.data;
    const value = (what: string, key: string, show: (value: number) => string) => {
      const number = data(what)?.[key];
      return typeof number === "number" ? show(number) : "";
    };
    const first = data("first token");
    return [
      budget,
      value("decode", "slots", String),
      value("decode", "tokensPerSecond", digits),
      value("decode", "roofline", percent),
      value("decode", "hits", percent),
      value("of what the link allows", "share", percent),
      first ? time(Number(first.opened) + Number(first.first)) : "",
      ...prompts.map((length) => {
        const prompt = data(`prompt of ${length}`);
        return prompt ? digits(Number(prompt.tokens) / Number(prompt.seconds)) : "";
      }),
    ];
  });
  return [row(head), `|${"---|".repeat(head.length)}`, ...rows.map(row), ""].join("\n");
}

function leftOut(parts: readonly PartResult[]): string {
  const open = parts.filter(({ status }) => status !== "done");
  if (open.length === 0) return "Every part ran to its end.\n";
  const lines = open.map(({ part, status }) => `- ${part}: ${status}`);
  return `Not done, or not to the end:\n\n${lines.join("\n")}\n`;
}
