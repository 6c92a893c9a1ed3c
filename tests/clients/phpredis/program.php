<?php
// program.php: phpredis at its defaults. The lines that it prints are those of ../checks.ts.
//
// Debian's phpredis has no methods for some newer commands: rawCommand() sends them. Whatever another connection has to
// do while this one waits is done by a forked process.

error_reporting(E_ALL & ~E_WARNING & ~E_NOTICE & ~E_DEPRECATED);

final class Limit extends Exception
{
}

function say(string $line): void
{
    echo trim(preg_replace('/\s+/', ' ', $line)), "\n";
    flush();
}

function check(string $name, callable $body): void
{
    $only = getenv('ONLY');
    if ($only !== false && !in_array($name, explode(',', $only), true)) {
        return;
    }
    try {
        $body();
        say("ok $name");
    } catch (Limit $limit) {
        say("limit $name: {$limit->getMessage()}");
    } catch (Throwable $error) {
        say("FAIL $name: " . get_class($error) . " {$error->getMessage()}");
    }
}

function brief(mixed $value): string
{
    return substr(json_encode($value, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR), 0, 200);
}

function equal(mixed $actual, mixed $expected, string $what = 'value'): void
{
    if ($actual !== $expected) {
        throw new Exception("$what: " . brief($actual) . ' and not ' . brief($expected));
    }
}

function that(bool $condition, string $what): void
{
    if (!$condition) {
        throw new Exception($what);
    }
}

function connected(): Redis
{
    $redis = new Redis();
    $redis->connect(getenv('HOST'), (int) getenv('PORT'));
    return $redis;
}

/** Does something on a connection of its own, soon, in a process of its own. */
function later(callable $body): int
{
    $child = pcntl_fork();
    if ($child !== 0) {
        return $child;
    }
    usleep(50_000);
    try {
        $body(connected());
    } catch (Throwable) {
    }
    posix_kill(getmypid(), SIGKILL); // nothing of the parent's is to be closed here
    exit(0);
}

function ended(int $child): void
{
    pcntl_waitpid($child, $status);
}

/** The error that the last command left. phpredis returns false and keeps the text. */
function error_of(Redis $redis, callable $body): string
{
    $redis->clearLastError();
    try {
        equal($body(), false, 'reply');
    } catch (RedisException $error) {
        return $error->getMessage();
    }
    return rtrim((string) $redis->getLastError(), "\0"); // some end in a zero byte of the library's
}

$client = connected();
$other = connected();
say('version ' . phpversion('redis'));

check('connect', function () use ($client) {
    equal($client->ping(), true);
});

function expect_handshake(Redis $client): void
{
    $info = (string) $client->rawCommand('CLIENT', 'INFO');
    that(str_contains($info, ' resp=2'), "protocol: $info");
    that(!str_contains($info, ' lib-name=') || str_contains($info, ' lib-name= '), $info);
}

check('handshake', function () use ($client) {
    expect_handshake($client);
});

check('strings', function () use ($client) {
    equal($client->set('s', 'one'), true);
    equal($client->get('s'), 'one');
    equal($client->set('s', 'two', ['nx']), false);
    equal($client->set('s', 'two', ['xx', 'ex' => 50]), true);
    equal($client->append('s', '+'), 4);
    equal($client->getRange('s', 1, -1), 'wo+');
    equal($client->incrBy('s:n', 41), 41);
    equal($client->incr('s:n'), 42);
    equal($client->incrByFloat('s:n', 0.5), 42.5);
    equal($client->mset(['s:a' => '1', 's:b' => '2']), true);
    equal($client->mget(['s:a', 's:none', 's:b']), ['1', false, '2']);
    equal($client->get('s:none'), false);
});

check('lists', function () use ($client) {
    equal($client->rPush('l', 'b', 'c', 'd'), 3);
    equal($client->lPush('l', 'a'), 4);
    equal($client->lRange('l', 0, -1), ['a', 'b', 'c', 'd']);
    equal($client->rawCommand('LPOS', 'l', 'c'), 2);
    equal($client->lPop('l'), 'a');
    equal($client->rawCommand('LMOVE', 'l', 'l:2', 'RIGHT', 'LEFT'), 'd');
    equal($client->lLen('l'), 2);
    equal($client->lPop('l:none'), false);
});

check('hashes', function () use ($client) {
    equal($client->hSet('h', 'a', '1'), 1);
    equal($client->hMSet('h', ['b' => 'two']), true);
    equal($client->hGet('h', 'b'), 'two');
    equal($client->hGet('h', 'none'), false);
    equal($client->hMGet('h', ['a', 'none']), ['a' => '1', 'none' => false]);
    equal($client->hIncrBy('h', 'a', 9), 10);
    equal($client->hGetAll('h'), ['a' => '10', 'b' => 'two']);
    equal($client->hDel('h', 'a'), 1);
    equal($client->hLen('h'), 1);
});

check('sets', function () use ($client) {
    equal($client->sAdd('t', 'a', 'b', 'c'), 3);
    equal($client->sAdd('t:2', 'b', 'c', 'd'), 3);
    equal($client->sIsMember('t', 'a'), true);
    $members = $client->sMembers('t');
    sort($members);
    equal($members, ['a', 'b', 'c']);
    $both = $client->sInter('t', 't:2');
    sort($both);
    equal($both, ['b', 'c']);
    equal($client->sRem('t', 'a'), 1);
    equal($client->sCard('t'), 2);
});

check('sorted-sets', function () use ($client) {
    equal($client->zAdd('z', 1, 'a', 2.5, 'b', '+inf', 'c'), 3);
    equal($client->zScore('z', 'b'), 2.5);
    equal($client->zScore('z', 'none'), false);
    equal($client->zRank('z', 'c'), 2);
    equal($client->zRange('z', 0, -1, true), ['a' => 1.0, 'b' => 2.5, 'c' => INF]);
    equal($client->zRangeByScore('z', '(1', '+inf'), ['b', 'c']);
    equal($client->zIncrBy('z', 0.25, 'a'), 1.25);
    equal($client->zPopMin('z'), ['a' => 1.25]);
    equal($client->zPopMin('z:none'), []);
});

check('bitmaps', function () use ($client) {
    equal($client->setBit('b', 7, true), 0);
    equal($client->setBit('b', 12, true), 0);
    equal($client->getBit('b', 7), 1);
    equal($client->bitCount('b'), 2);
    equal($client->bitpos('b', 1), 7);
    equal($client->bitOp('NOT', 'b:not', 'b'), 2);
    equal($client->bitCount('b:not'), 14);
});

check('hyperloglog', function () use ($client) {
    equal($client->pfAdd('p', ['a', 'b', 'c']), 1);
    equal($client->pfAdd('p:2', ['c', 'd']), 1);
    equal($client->pfCount(['p', 'p:2']), 4);
    equal($client->pfMerge('p:3', ['p', 'p:2']), true);
    equal($client->pfCount('p:3'), 4);
});

check('geo', function () use ($client) {
    equal($client->geoAdd('g', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania'), 2);
    equal((float) $client->geoDist('g', 'Palermo', 'Catania', 'km'), 166.2742);
    [[$longitude]] = $client->geoPos('g', 'Palermo');
    that(abs($longitude - 13.361389) < 1e-5, "position $longitude");
    $near = ['GEOSEARCH', 'g', 'FROMLONLAT', '15', '37', 'BYRADIUS'];
    equal($client->rawCommand(...$near, ...['100', 'km']), ['Catania']);
    $far = [['Catania', '56.4413'], ['Palermo', '190.4424']];
    equal($client->rawCommand(...$near, ...['200', 'km', 'ASC', 'WITHDIST']), $far);
    equal($client->geoRadius('g', 15, 37, 200, 'km', ['asc', 'withdist']), $far);
});

check('expiry', function () use ($client) {
    $client->set('e', 'v');
    equal($client->ttl('e'), -1);
    equal($client->expire('e', 100), true);
    that(in_array($client->ttl('e'), [99, 100], true), 'TTL');
    that($client->pttl('e') > 98_000, 'PTTL');
    equal($client->persist('e'), true);
    equal($client->ttl('e'), -1);
    equal($client->ttl('e:none'), -2);
    $client->psetex('e:px', 300, 'v');
    equal($client->get('e:px'), 'v');
    usleep(320_000);
    equal($client->get('e:px'), false);
});

check('scan', function () use ($client) {
    $client->multi(Redis::PIPELINE);
    for ($i = 0; $i < 1000; $i++) {
        $client->set("scan:$i", $i);
        $client->hSet('c:h', "$i", "$i");
        $client->sAdd('c:s', "$i");
        $client->zAdd('c:z', $i, "$i");
    }
    $client->exec();
    $found = ['keys' => [], 'fields' => [], 'members' => [], 'scores' => []];
    $cursor = null;
    while (($keys = $client->scan($cursor, 'scan:*', 100)) !== false) {
        foreach ($keys as $key) {
            $found['keys'][$key] = true;
        }
    }
    $scans = [
        'fields' => fn(&$at) => $client->hScan('c:h', $at),
        'scores' => fn(&$at) => $client->zScan('c:z', $at),
    ];
    foreach ($scans as $what => $page) {
        $cursor = null;
        while (($pairs = $page($cursor)) !== false) {
            foreach ($pairs as $name => $value) {
                if ((float) $value === (float) $name) {
                    $found[$what][$name] = true;
                }
            }
        }
    }
    $cursor = null;
    while (($members = $client->sScan('c:s', $cursor)) !== false) {
        foreach ($members as $member) {
            $found['members'][$member] = true;
        }
    }
    equal(array_map('count', array_values($found)), [1000, 1000, 1000, 1000]);
});

check('pipeline', function () use ($client) {
    $client->set('pipe:text', 'x');
    $client->multi(Redis::PIPELINE);
    for ($i = 0; $i < 1000; $i++) {
        $client->incr($i === 500 ? 'pipe:text' : 'pipe:n');
    }
    $replies = $client->exec();
    equal([$replies[499], $replies[500], $replies[999], count($replies)], [500, false, 999, 1000]);
});

check('transaction', function () use ($client) {
    equal($client->multi()->set('m', '1')->incr('m')->get('m')->exec(), [true, 2, '2']);
    equal($client->multi()->set('m', 'text')->incr('m')->set('m:after', '1')->exec(), [true, false, true]);
    equal($client->get('m:after'), '1');
    equal($client->rawCommand('MULTI'), true);
    $client->rawCommand('SET', 'm:refused', '1');
    that(str_contains(error_of($client, fn() => $client->rawCommand('SET', 'm:refused')), 'wrong number'), 'refused');
    that(str_contains(error_of($client, fn() => $client->rawCommand('EXEC')), 'EXECABORT'), 'EXECABORT');
    equal($client->get('m:refused'), false);
    $client->multi()->set('m:refused', '1');
    equal($client->discard(), true);
    equal($client->get('m:refused'), false);
});

check('watch', function () use ($client, $other) {
    $client->set('w', '1');
    equal($client->watch('w'), true);
    $other->set('w', '2');
    equal($client->multi()->set('w', '3')->exec(), false, 'EXEC after a conflict');
    equal($client->get('w'), '2');
    $client->watch('w');
    equal($client->multi()->set('w', '3')->exec(), [true]);
    equal($other->get('w'), '3');
});

/** Publishes messages one after the other, the first as soon as somebody listens. */
function publisher(array $messages): callable
{
    return function (Redis $redis) use ($messages) {
        foreach ($messages as [$channel, $message]) {
            for ($i = 0; $i < 500 && $redis->publish($channel, $message) === 0; $i++) {
                usleep(10_000);
            }
        }
    };
}

/** Subscribes, and says whether that returned, as it should after the last unsubscribe(). It is not waited for long. */
function returns(callable $subscribe): bool
{
    $subscriber = connected();
    try {
        $subscribe($subscriber);
        return true;
    } catch (RedisException $error) {
        that(str_contains($error->getMessage(), 'read error on connection'), $error->getMessage());
        return false;
    }
}

const ENDLESS = 'subscribe() does not return after unsubscribe(): the application has to close the connection';

check('pubsub', function () use ($client) {
    $child = later(publisher([['news', 'one'], ['weather', 'two']]));
    $heard = [];
    $hear = function ($redis, $channel, $message) use (&$heard, $client) {
        $heard[] = "$channel:$message";
        if (count($heard) === 2) {
            $heard[] = $redis->unsubscribe(['news', 'weather']);
            $redis->setOption(Redis::OPT_READ_TIMEOUT, 0.3);
            $heard[] = $client->publish('news', 'three');
        }
    };
    $returned = returns(fn($subscriber) => $subscriber->subscribe(['news', 'weather'], $hear));
    ended($child);
    equal($heard, ['news:one', 'weather:two', ['news' => true, 'weather' => true], 0]);
    if (!$returned) {
        throw new Limit(ENDLESS);
    }
});

check('pubsub-pattern', function () use ($client) {
    $child = later(publisher([['news:a', 'one']]));
    $heard = [];
    $hear = function ($redis, $pattern, $channel, $message) use (&$heard, $client) {
        $heard[] = "$pattern $channel:$message";
        $heard[] = $redis->punsubscribe(['n?ws:*']);
        $redis->setOption(Redis::OPT_READ_TIMEOUT, 0.3);
        $heard[] = $client->publish('news:a', 'two');
    };
    $returned = returns(fn($subscriber) => $subscriber->psubscribe(['n?ws:*'], $hear));
    ended($child);
    equal($heard, ['n?ws:* news:a:one', ['n?ws:*' => true], 0]);
    if (!$returned) {
        throw new Limit(ENDLESS);
    }
});

check('blocking', function () use ($client) {
    $child = later(fn($redis) => $redis->rPush('q:2', 'a', 'b'));
    equal($client->blPop(['q', 'q:2'], 10), ['q:2', 'a']);
    ended($child);
    $child = later(fn($redis) => $redis->rPush('q:3', 'c'));
    equal($client->rawCommand('BLMOVE', 'q:3', 'q:4', 'LEFT', 'RIGHT', '10'), 'c');
    ended($child);
    $child = later(fn($redis) => $redis->zAdd('q:z', 1.5, 'm'));
    equal($client->bzPopMin(['q:z'], 10), ['q:z', 'm', '1.5']);
    ended($child);
});

check('blocking-timeout', function () use ($client) {
    $begin = microtime(true);
    equal($client->blPop(['q:none'], 1), []); // whole seconds only
    that(microtime(true) - $begin > 0.99, 'it waits');
    equal($client->ping(), true);
});

foreach (['cache', 'cache-invalidation'] as $name) {
    check($name, fn() => throw new Limit('the library has no client-side cache'));
}

check('large-values', function () use ($client) {
    $value = random_bytes(10_000_000);
    equal($client->set('large', $value), true);
    that($client->get('large') === $value, 'GET gives what SET took');
    equal($client->rPush('large:l', $value, 'end'), 2);
    that($client->lRange('large:l', 0, -1) === [$value, 'end'], 'LRANGE gives what RPUSH took');
    $client->del('large', 'large:l');
});

check('binary', function () use ($client) {
    $every = implode('', array_map('chr', range(0, 255))) . "\r\n$-1\r\n*0\r\n\0\r\n";
    $client->set($every, $every);
    that($client->get($every) === $every, 'GET');
    $client->hSet('bin', $every, $every);
    that($client->hGetAll('bin') === [$every => $every], 'HGETALL');
});

check('errors', function () use ($client) {
    $client->set('err', 'text');
    $wrong = 'WRONGTYPE Operation against a key holding the wrong kind of value';
    equal(error_of($client, fn() => $client->lPush('err', 'x')), $wrong);
    equal(error_of($client, fn() => $client->incr('err')), 'ERR value is not an integer or out of range');
    equal(error_of($client, fn() => $client->rawCommand('SET', 'err', 'x', 'NX', 'XX')), 'ERR syntax error');
    equal($client->get('err'), 'text');
});

check('unsupported', function () use ($client) {
    $unknown = error_of($client, fn() => $client->rawCommand('NOSUCH', 'a'));
    that(str_starts_with($unknown, "ERR unknown command 'NOSUCH'"), $unknown);
    if (getenv('SCRIPTING') === 'yes') {
        equal($client->eval('return 1'), 1);
    } else {
        $unknown = error_of($client, fn() => $client->eval('return 1'));
        that(str_starts_with($unknown, "ERR unknown command 'EVAL'"), $unknown);
    }
    equal($client->ping(), true);
});

/** Waits until a condition holds; an exception counts as no. */
function until(string $what, callable $condition): void
{
    for ($i = 0; $i < 1000; $i++) {
        try {
            if ($condition()) {
                return;
            }
        } catch (RedisException) {
        }
        usleep(10_000);
    }
    throw new Exception("waited in vain for $what");
}

/** Starts a subscriber in a process of its own: it exits with 3 when its subscribe() throws. */
function subscription(): int
{
    $child = pcntl_fork();
    if ($child !== 0) {
        return $child;
    }
    try {
        connected()->subscribe(['again'], fn() => null);
        exit(1);
    } catch (RedisException) {
        exit(3);
    }
}

$subscription = 0;
check('reconnect', function () use ($client, &$subscription) {
    $subscription = subscription();
    until('a subscriber', fn() => $client->publish('again', 'hello') === 1);
    say('restart');
    fgets(STDIN);
    until('a working connection', fn() => $client->set('r', '1') === true);
    equal($client->get('r'), '1');
    expect_handshake($client);
});

check('reconnect-pubsub', function () use (&$subscription) {
    pcntl_waitpid($subscription, $status);
    equal(pcntl_wexitstatus($status), 3, 'exit status of the subscriber');
    throw new Limit('subscribe() throws when the connection is lost; the application has to call it again');
});
