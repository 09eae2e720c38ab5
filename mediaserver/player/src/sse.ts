/** A server-sent event (WHATWG HTML, section 9.2). */
export interface ServerEvent {
  readonly type: string;
  readonly data: string;
}

/**
 * An EventParser takes the text of an event stream in pieces as they arrive and gives the
 * events that are complete. Pure but for what it keeps of the last piece. It leaves out
 * ids and retry times: the server sends none, and the reader does its own waiting.
 */
export class EventParser {
  private rest = "";
  private type = "";
  private data: string[] = [];

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line !== "") {
        this.field(line);
        continue;
      }
      if (this.data.length > 0) {
        events.push({ type: this.type || "message", data: this.data.join("\n") });
      }
      this.type = "";
      this.data = [];
    }
    return events;
  }

  private field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") {
      this.type = value;
    } else if (name === "data") {
      this.data.push(value);
    }
  }
}
