// clients-doc.ts: makes docs/clients.md out of what the programs in tests/clients say.   bun run docs:clients
//
// Runs every library against the executable that `bun run build` made. Needs all of them (scripts/clients installs
// those that are not of npm), and that none fails. Off the data path.
import { writeFileSync } from "node:fs";
import { libraries, reasonToSkip } from "../tests/clients/libraries.ts";
import { clientsPage, clientsPagePath, type Greeting } from "../tests/clients/page.ts";
import { ownServer, type Result, report, run } from "../tests/clients/run.ts";
import { commandsOf, Wiretap } from "../tests/clients/wiretap.ts";

const results: Result[] = [];
const greetings: Greeting[] = [];
for (const library of libraries) {
  const reason = reasonToSkip(library);
  if (reason !== "") throw new Error(`${library.title}: ${reason}`);
  const result = await run(library, ownServer(1));
  if ([...result.outcomes.values()].some(({ verdict }) => verdict === "FAIL"))
    throw new Error(`${library.title} ${result.version}\n${report(result)}`);
  results.push(result);

  const subject = ownServer(1);
  const tap = await Wiretap.before(subject.port);
  await run(library, subject, ["connect"], tap.port);
  tap.close();
  // Of its connections the one that the application asked something on.
  const commands = tap.sent
    .map(commandsOf)
    .find((all) => all.some(([name]) => name?.toUpperCase() === "PING"));
  const until = commands?.findIndex(([name]) => name?.toUpperCase() === "PING") ?? 0;
  greetings.push({ library, commands: (commands ?? []).slice(0, until).map((command) => command.join(" ")) });
  console.log(`${library.title} ${result.version}: ${result.seconds.toFixed(1)} s`);
}
writeFileSync(clientsPagePath, clientsPage(results, greetings));
