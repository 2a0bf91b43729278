// How old what is displayed is. A camera that is called live must be: it counts as stale when the
// service or the camera's worker has said nothing new for a while. Clocks are compared only at
// first sight, as a worker's may differ from the service's.

const STALE_MS = 3000;

export class Freshness {
  constructor() {
    this.answeredAt = null; // performance.now() of the service's newest answer
    this.reports = new Map(); // of each stream: its worker's newest report, and when it was new
  }

  /** Note an answer of the service about these streams, which was made at this time (Date's). */
  note(streams, madeAt) {
    const now = performance.now();
    this.answeredAt = now;
    const before = this.reports;
    this.reports = new Map();
    for (const { id, status } of streams) {
      const { updated_at: updatedAt } = status;
      if (updatedAt === null) continue;
      const known = before.get(id);
      const age = known || !madeAt ? 0 : Math.max(0, madeAt - new Date(updatedAt));
      this.reports.set(id, known?.updatedAt === updatedAt ? known : { updatedAt, newAt: now - age });
    }
  }

  /** Is true while the service doesn't answer. */
  get isAway() {
    return this.answeredAt !== null && performance.now() - this.answeredAt > STALE_MS;
  }

  /** Return since when (a Date) there is no news of a stream; null: what is displayed is fresh. */
  findStale(id) {
    const newAt = this.reports.get(id)?.newAt ?? this.answeredAt;
    const age = performance.now() - Math.min(newAt, this.answeredAt);
    return age > STALE_MS ? new Date(Date.now() - age) : null;
  }
}
