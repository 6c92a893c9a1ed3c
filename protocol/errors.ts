// errors.ts: every error text of the contract, in one place. Handlers name an error; none writes text of its own.
// Texts are Redis's, byte for byte. Text quoted from a client is Latin-1, so its bytes come back as they were.

export const Errors = {
  wrongType: "WRONGTYPE Operation against a key holding the wrong kind of value",
  syntax: "ERR syntax error",
  noSuchKey: "ERR no such key",
  outOfMemory: "OOM command not allowed when used memory > 'maxmemory'.",
  notAnInteger: "ERR value is not an integer or out of range",
  notPositive: "ERR value is out of range, must be positive",
  notAFloat: "ERR value is not a valid float",
  overflow: "ERR increment or decrement would overflow",
  decrementOverflow: "ERR decrement would overflow",
  nanOrInfinity: "ERR increment would produce NaN or Infinity",
  stringTooLong: "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
  offsetOutOfRange: "ERR offset is out of range",
  sameObject: "ERR source and destination objects are the same",
  dbOutOfRange: "ERR DB index is out of range",
  invalidDb: "ERR invalid DB index",
  invalidFirstDb: "ERR invalid first DB index",
  invalidSecondDb: "ERR invalid second DB index",
  invalidCursor: "ERR invalid cursor",
  lcsBoth: "ERR If you want both the length and indexes, please just use IDX.",
  lcsTypes: "ERR The specified keys must contain string values",
  lcsMemory: "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
  expireFlags: "ERR NX and XX, GT or LT options at the same time are not compatible",
  expireGtLt: "ERR GT and LT options at the same time are not compatible",
  noFrequency:
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
  authWithoutPassword:
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
  wrongPassword: "WRONGPASS invalid username-password pair or user is disabled.",
  noProtocol: "NOPROTO unsupported protocol version",
  protocolNotInteger: "ERR Protocol version is not an integer or out of range",
  clientName: "ERR Client names cannot contain spaces, newlines or special characters.",
  noSuchClient: "ERR No such client",
  clientIdPositive: "ERR client-id should be greater than 0",
  invalidClientId: "ERR Invalid client ID",
  maxClients: "ERR max number of clients reached",
  invalidCommand: "ERR Invalid command specified",
  noKeyArguments: "ERR The command has no key arguments",
  keyArguments: "ERR Invalid number of arguments specified for command",
  intOutOfRange: "ERR value is out of range, value must between -2147483648 and 2147483647",
  maxAge: "ERR maxage is not an integer or out of range",
  maxAgePositive: "ERR maxage should be greater than 0",
  noConfigFile: "ERR The server is running without a config file",
  noShutdown: "ERR No shutdown in progress.",
  noSnapshots: "ERR Errors trying to SHUTDOWN. Check logs.",
  resp3Only: "ERR RESP2 is not supported by this command",
  protocolType:
    "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
  debugRefused:
    'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.',
} as const;

/** A client's text as an error quotes it: up to its first NUL, as C sees it, and on one line. */
function printable(text: string): string {
  return text.split("\0", 1)[0]!.replace(/[\r\n]/g, " ");
}

export function wrongArity(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`;
}

export function invalidExpire(name: string): string {
  return `ERR invalid expire time in '${name}' command`;
}

export function unsupportedOption(option: string): string {
  return `ERR Unsupported option ${printable(option)}`;
}

export function unknownSubcommand(subcommand: string, container: string): string {
  return `ERR unknown subcommand '${printable(subcommand).slice(0, 128)}'. Try ${container.toUpperCase()} HELP.`;
}

export function unknownTypeName(name: string): string {
  return `ERR unknown type name '${printable(name)}'`;
}

/** HELLO's word for an option it does not know or that lacks its value. */
export function helloOption(option: string): string {
  return `ERR Syntax error in HELLO option '${printable(option)}'`;
}

/** CLIENT SETINFO's word for an attribute that does not exist. */
export function unrecognizedOption(option: string): string {
  return `ERR Unrecognized option '${printable(option)}'`;
}

/** CLIENT SETINFO's word for a value that is not printable; `attribute` as the client spelled it. */
export function clientAttribute(attribute: string): string {
  return `ERR ${printable(attribute)} cannot contain spaces, newlines or special characters.`;
}

export function unknownClientType(name: string): string {
  return `ERR Unknown client type '${printable(name)}'`;
}

export function noSuchUser(name: string): string {
  return `ERR No such user '${printable(name)}'`;
}

export function unknownSetting(name: string): string {
  return `ERR Unknown option or number of arguments for CONFIG SET - '${printable(name)}'`;
}

export function settingRefused(name: string, reason: string): string {
  return `ERR CONFIG SET failed (possibly related to argument '${printable(name)}') - ${printable(reason)}`;
}

/** DEBUG has no subcommand rows: name and arity fail alike. */
export function debugSubcommand(name: string): string {
  return `ERR unknown subcommand or wrong number of arguments for '${printable(name).slice(0, 128)}'. Try DEBUG HELP.`;
}

/** `args`: the arguments after the name. At most 128 bytes of name and about as many of arguments are quoted. */
export function unknownCommand(name: string, args: readonly string[]): string {
  let list = "";
  for (const arg of args) {
    if (list.length >= 128) break;
    list += `'${printable(arg).slice(0, 128 - list.length)}' `;
  }
  return `ERR unknown command '${printable(name).slice(0, 128)}', with args beginning with: ${list}`;
}
