import { reportAddress } from "./bases.ts";
import type { PlayParameters } from "./parameters.ts";
import { Observer, type Sample } from "./report.ts";

/** A Reporter tells the server what the viewer sees, if the server asks this player for it. */
export class Reporter {
  private observer: Observer | undefined;
  private readonly chance = Math.random();
  private refused = false;

  constructor(
    private readonly base: string,
    private readonly parameters: PlayParameters,
  ) {}

  /** observe is called now and then while the player is started. share is which share of the players is to report. */
  observe(sample: Sample, share: number): void {
    this.observer ??= new Observer(sample.at);
    const text = this.observer.observe(sample);
    if (text !== undefined && this.chance < share && !this.refused) {
      void this.send(text);
    }
  }

  /** stop forgets what was observed. The next start has a join time of its own. */
  stop(): void {
    this.observer = undefined;
  }

  private async send(body: string): Promise<void> {
    const { token } = this.parameters;
    const headers = { "Content-Type": "application/cmcd", ...(token === "" ? {} : { Authorization: `Bearer ${token}` }) };
    try {
      const response = await fetch(reportAddress(this.base, this.parameters), { method: "POST", headers, body, keepalive: true, credentials: "omit" });
      // A server of the release before takes no reports, and is not asked again.
      this.refused = response.status === 405 || response.status === 415;
    } catch {
      // The server cannot be reached. The next report may arrive.
    }
  }
}
