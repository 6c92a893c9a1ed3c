// errors.ts: every error text of the contract, in one place. Handlers name an error; none writes text of its own.
// Texts are Redis's, byte for byte. Text quoted from a client is Latin-1, so its bytes come back as they were.

export const Errors = {
  wrongType: "WRONGTYPE Operation against a key holding the wrong kind of value",
  syntax: "ERR syntax error",
  noSuchKey: "ERR no such key",
  outOfMemory: "OOM command not allowed when used memory > 'maxmemory'.",
  notAnInteger: "ERR value is not an integer or out of range",
  notPositive: "ERR value is out of range, must be positive",
  countOutOfRange:
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
  numkeysPositive: "ERR numkeys should be greater than 0",
  tooManyKeys: "ERR Number of keys can't be greater than number of args",
  negativeLimit: "ERR LIMIT can't be negative",
  notAFloat: "ERR value is not a valid float",
  addNxXx: "ERR XX and NX options at the same time are not compatible",
  addGtLtNx: "ERR GT, LT, and/or NX options at the same time are not compatible",
  addOnePair: "ERR INCR option supports a single increment-element pair",
  scoreNotANumber: "ERR resulting score is not a number (NaN)",
  weightNotAFloat: "ERR weight value is not a float",
  boundNotAFloat: "ERR min or max is not a float",
  boundNotAMember: "ERR min or max not valid string range item",
  limitByRank: "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
  scoresByMember: "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
  overflow: "ERR increment or decrement would overflow",
  decrementOverflow: "ERR decrement would overflow",
  nanOrInfinity: "ERR increment would produce NaN or Infinity",
  stringTooLong: "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
  offsetOutOfRange: "ERR offset is out of range",
  indexOutOfRange: "ERR index out of range",
  rankZero:
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
  countNegative: "ERR COUNT can't be negative",
  countPositive: "ERR count should be greater than 0",
  maxlenNegative: "ERR MAXLEN can't be negative",
  badDigest: "ERR digest must be exactly 16 hexadecimal characters",
  deleteCondition: "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
  pairCount: "ERR invalid numkeys value",
  pairs: "ERR wrong number of key-value pairs",
  incrementNotAnInteger: "ERR Increment is not an integer or out of range",
  incrementNotAFloat: "ERR Increment is not a valid float",
  incrementInfinite: "ERR BYFLOAT increment cannot be Infinity",
  valueInfinite: "ERR value cannot be Infinity",
  boundsCrossed: "ERR LBOUND can't be greater than UBOUND",
  enxWithoutExpiry: "ERR ENX flag requires an expiration",
  appliedOverflow: "ERR applied increment would overflow",
  throttleArguments: "ERR CL.THROTTLE needs max_burst >= 0, count > 0, period > 0, quantity >= 0",
  unblocked: "UNBLOCKED client unblocked via CLIENT UNBLOCK",
  timeoutNotAnInteger: "ERR timeout is not an integer or out of range",
  timeoutNegative: "ERR timeout is negative",
  timeoutNotAFloat: "ERR timeout is not a float or out of range",
  timeoutOutOfRange: "ERR timeout is out of range",
  internal: "ERR internal error",
  pauseMode: "ERR CLIENT PAUSE mode must be WRITE or ALL",
  unblockReason: "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
  oneRedirect: "ERR A client can only redirect to a single other client",
  redirectAbsent: "ERR The client ID you want redirect to does not exist",
  prefixWithoutBroadcast: "ERR PREFIX option requires BCAST mode to be enabled",
  switchBroadcast:
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
  switchOptions:
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
  optionsWithBroadcast: "ERR OPTIN and OPTOUT are not compatible with BCAST",
  optInAndOut: "ERR You can't specify both OPTIN mode and OPTOUT mode",
  cachingWithoutTracking:
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
  cachingYes: "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
  cachingNo: "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
  nestedMulti: "ERR MULTI calls can not be nested",
  watchInMulti: "ERR WATCH inside MULTI is not allowed",
  execWithoutMulti: "ERR EXEC without MULTI",
  discardWithoutMulti: "ERR DISCARD without MULTI",
  execAbort: "EXECABORT Transaction discarded because of previous errors.",
  notInTransaction: "ERR Command not allowed inside a transaction",
  sameObject: "ERR source and destination objects are the same",
  dbOutOfRange: "ERR DB index is out of range",
  invalidDb: "ERR invalid DB index",
  invalidFirstDb: "ERR invalid first DB index",
  invalidSecondDb: "ERR invalid second DB index",
  invalidCursor: "ERR invalid cursor",
  busyKey: "BUSYKEY Target key name already exists.",
  badPayload: "ERR DUMP payload version or checksum are wrong",
  badFormat: "ERR Bad data format",
  invalidTtl: "ERR Invalid TTL value, must be >= 0",
  invalidIdletime: "ERR Invalid IDLETIME value, must be >= 0",
  invalidFrequency: "ERR Invalid FREQ value, must be >= 0 and <= 255",
  lcsBoth: "ERR If you want both the length and indexes, please just use IDX.",
  lcsTypes: "ERR The specified keys must contain string values",
  lcsMemory: "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
  expireFlags: "ERR NX and XX, GT or LT options at the same time are not compatible",
  expireGtLt: "ERR GT and LT options at the same time are not compatible",
  noIdleTime:
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
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
  invalidArguments: "ERR Invalid arguments specified for command",
  intOutOfRange: "ERR value is out of range, value must between -2147483648 and 2147483647",
  maxAge: "ERR maxage is not an integer or out of range",
  maxAgePositive: "ERR maxage should be greater than 0",
  noConfigFile: "ERR The server is running without a config file",
  noShutdown: "ERR No shutdown in progress.",
  noSnapshots: "ERR Errors trying to SHUTDOWN. Check logs.",
  resp3Only: "ERR RESP2 is not supported by this command",
  protocolType:
    "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
  bitNotAnInteger: "ERR bit is not an integer or out of range",
  bitOffset: "ERR bit offset is not an integer or out of range",
  bitArgument: "ERR The bit argument must be 1 or 0.",
  bitopNot: "ERR BITOP NOT must be called with a single source key.",
  fieldType:
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
  overflowType: "ERR Invalid OVERFLOW type specified",
  fieldReadOnly: "ERR BITFIELD_RO only supports the GET subcommand",
  notHyperLogLog: "WRONGTYPE Key is not a valid HyperLogLog string value.",
  corruptHyperLogLog: "INVALIDOBJ Corrupted HLL object detected",
  specifiedKeyMissing: "ERR The specified key does not exist",
  notSparse: "ERR HLL encoding is not sparse",
  unit: "ERR unsupported unit provided. please use M, KM, FT, MI",
  radius: "ERR need numeric radius",
  radiusNegative: "ERR radius cannot be negative",
  boxWidth: "ERR need numeric width",
  boxHeight: "ERR need numeric height",
  boxNegative: "ERR height or width cannot be negative",
  noGeoMember: "ERR could not decode requested zset member",
  geoCount: "ERR COUNT must be > 0",
  geoAny: "ERR the ANY argument requires COUNT argument",
  georadiusStore:
    "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
  geosearchStore: "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
  sortWeights: "ERR One or more scores can't be converted into double",
  hashNotAnInteger: "ERR hash value is not an integer",
  hashNotAFloat: "ERR hash value is not a float",
  argumentInfinite: "ERR value is NaN or Infinity",
  pairCountOutOfRange: "ERR value is out of range",
  fieldExpiry: "ERR invalid expire time, must be >= 0",
  fieldsMissing: "ERR Mandatory argument FIELDS is missing or not at the right position",
  numFields: "ERR Parameter `numFields` should be greater than 0",
  fieldCount: "ERR Number of fields must be a positive integer",
  fieldCountMismatch: "ERR The `numfields` parameter must match the number of arguments",
  invalidFieldCount: "ERR invalid number of fields",
  fieldConditions: "ERR Only one of FXX or FNX arguments can be specified",
  fieldExpiries: "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
  notListpack: "ERR Not a listpack encoded object.",
  notQuicklist: "ERR Not a quicklist encoded object.",
  notHashTable: "ERR The value stored at the specified key is not represented using an hash table",
  notSds: "ERR Not an sds encoded string.",
  debugDatabase: "ERR Out of range database",
  packedThreshold: "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
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

/** HSETEX's word for an option it does not know. */
export function unknownArgument(argument: string): string {
  return `ERR unknown argument: ${printable(argument)}`;
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

/** INCREX's word for a bound; `name` as the option is spelled. */
export function badBound(name: string, float: boolean): string {
  return `ERR ${name} is not ${float ? "a valid float" : "an integer or out of range"}`;
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

/** The word of ZUNION and its like for no keys at all. */
export function atLeastOneKey(name: string): string {
  return `ERR at least 1 input key is needed for '${name}' command`;
}

/** The geo commands' word for a place that there is none of; both numbers as printf's %f has them. */
export function invalidPlace(longitude: string, latitude: string): string {
  return `ERR invalid longitude,latitude pair ${longitude},${latitude}`;
}

/** GEOSEARCH's word for a centre or a shape that is missing; `name` as the command was spelled. */
export function geosearchNeedsOne(options: string, name: string): string {
  return `ERR exactly one of ${options} can be specified for ${printable(name)}`;
}

/** BITOP's word for DIFF, DIFF1 and ANDOR of a single string. */
export function bitopSources(operation: string): string {
  return `ERR BITOP ${operation.toUpperCase()} must be called with at least two source keys.`;
}

/** PFDEBUG has no subcommand rows. */
export function pfdebugSubcommand(name: string): string {
  return `ERR Unknown PFDEBUG subcommand '${printable(name)}'`;
}

/** What PFSELFTEST found wrong. */
export function testFailed(what: string): string {
  return `ERR TESTFAILED ${what}`;
}

/** For containers, or subcommands, that look at number and names of their arguments together: DEBUG, PUBSUB CHANNELS. */
export function subcommandOrArity(name: string, container: string): string {
  return `ERR unknown subcommand or wrong number of arguments for '${printable(name).slice(0, 128)}'. Try ${container} HELP.`;
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

/** EXEC itself was refused, with that error. */
export function execAbort(error: string): string {
  return `EXECABORT Transaction discarded because of: ${error.replace(/^-?ERR /, "")}`;
}

/** A command that a RESP2 connection may not send while it is subscribed. */
export function subscribedOnly(command: string): string {
  return `ERR Can't execute '${command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`;
}

/** A prefix of CLIENT TRACKING BCAST that overlaps with one that is "an existing" or "another provided". */
export function prefixOverlaps(prefix: string, which: string, other: string): string {
  return `ERR Prefix '${prefix}' overlaps with ${which} prefix '${other}'. Prefixes for a single client must not overlap.`;
}
