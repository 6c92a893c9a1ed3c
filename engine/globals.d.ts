/** True in tests and `bun run`, false in the built executable, where the bundler drops what it guards. */
declare const CHECKED: boolean;
