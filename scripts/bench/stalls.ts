// stalls.ts: what the machine itself takes away.   bun scripts/bench/stalls.ts SECONDS
//
// Reads the clock in a loop and counts the gaps above 0.3 ms: time in which this core ran something else, a neighbour's
// process, the kernel or the host. Prints one line of JSON, a Stalls. latency.ts runs it on both cores first: a tail
// cannot be shorter than these gaps, whatever the server does.

export interface Stalls {
  /** Share of the time spent in gaps, 0..1. */
  lost: number;
  longestUs: number;
}

const gapNs = 0.3e6;

function watch(seconds: number): Stalls {
  let last = Bun.nanoseconds();
  const end = last + seconds * 1e9;
  let lostNs = 0;
  let longestNs = 0;
  while (last < end) {
    const now = Bun.nanoseconds();
    if (now - last > gapNs) {
      lostNs += now - last;
      longestNs = Math.max(longestNs, now - last);
    }
    last = now;
  }
  return { lost: lostNs / (seconds * 1e9), longestUs: longestNs / 1000 };
}

if (import.meta.main) console.log(JSON.stringify(watch(Number(process.argv[2]))));
