import { secondsWords } from "./phrases.ts";
import type { Pair } from "./state.ts";

/** An Alarm is a sentence that the person on duty has to read. */
export interface Alarm {
  level: "bad" | "warn";
  text: string;
}

/** A certificate or token is shown when it expires within this time, and is bad within the shorter one. */
const soon = 14 * 24 * 3600_000;
const verySoon = 24 * 3600_000;

/** alarms returns all that is wrong with a pair, the worst first. now is the server's clock. */
export function alarms(pair: Pair, now: number): Alarm[] {
  const bad: Alarm[] = [];
  const warn: Alarm[] = [];
  const say = (level: Alarm["level"], text: string): void => void (level === "bad" ? bad : warn).push({ level, text });
  if (pair.status && !pair.status.onAir) {
    say("bad", "Viewers get no picture.");
  }
  for (const leg of pair.status?.legs ?? []) {
    if (leg.conflict) {
      say("warn", `${leg.role}: a second encoder was refused.`);
    }
    for (const warning of leg.warnings ?? []) {
      say("warn", `${leg.role}: ${warning.message}`);
    }
  }
  for (const credential of pair.credentials ?? []) {
    const left = Date.parse(credential.notAfter) - now;
    if (left <= 0) {
      say("bad", `The ${credential.name} has expired.`);
    } else if (left < soon) {
      say(left < verySoon ? "bad" : "warn", `The ${credential.name} expires in ${secondsWords(left)}.`);
    }
  }
  for (const text of pair.warnings ?? []) {
    say("warn", text);
  }
  return [...bad, ...warn];
}
