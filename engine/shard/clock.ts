// clock.ts: the time a turn runs at. Read once a turn by the worker; everything that asks for the time within the turn
// gets the same answer, and a test moves it by hand.

export class Clock {
  /** Milliseconds since the epoch. */
  nowMs: number;

  constructor(nowMs = Date.now()) {
    this.nowMs = nowMs;
  }
}
