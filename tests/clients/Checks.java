// Checks.java: what the programs in Java share: their lines on standard output and the restart of the server. The
// names are those of checks.ts.
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;

final class Checks {
  static final String HOST = System.getenv("HOST");
  static final int PORT = Integer.parseInt(System.getenv("PORT"));
  static final boolean SCRIPTING = "yes".equals(System.getenv("SCRIPTING"));
  private static final String ONLY = System.getenv("ONLY");
  private static final List<String> CHOSEN = ONLY == null ? null : Arrays.asList(ONLY.split(","));

  interface Body {
    void run() throws Exception;
  }

  /** What a check throws that met a limit of the library. */
  static final class Limit extends Exception {
    Limit(String reason) {
      super(reason);
    }
  }

  static {
    java.util.logging.LogManager.getLogManager().reset(); // connections break here on purpose
  }

  static synchronized void say(String line) {
    System.out.println(line.replaceAll("\\s+", " ").trim());
    System.out.flush();
  }

  /** The library's version, from the name of its archive. */
  static void version(Class<?> of) {
    String path = of.getProtectionDomain().getCodeSource().getLocation().getPath();
    say("version " + path.replaceAll(".*-(\\d[^/]*?)(\\.RELEASE)?\\.jar", "$1"));
  }

  static void check(String name, Body body) {
    if (CHOSEN != null && !CHOSEN.contains(name)) return;
    try {
      body.run();
      say("ok " + name);
    } catch (Limit limit) {
      say("limit " + name + ": " + limit.getMessage());
    } catch (Throwable error) {
      say("FAIL " + name + ": " + error + (error.getCause() == null ? "" : ", " + error.getCause()));
    }
  }

  static void equal(Object actual, Object expected) {
    if (!Objects.deepEquals(actual, expected)) throw new AssertionError(brief(actual) + " and not " + brief(expected));
  }

  private static String brief(Object value) {
    String text = String.valueOf(value);
    return text.length() > 200 ? text.substring(0, 200) + "..." : text;
  }

  static void that(boolean condition, String what) {
    if (!condition) throw new AssertionError(what);
  }

  /** The exception that a body fails with: its message has the text. */
  static Exception fails(String text, Callable<?> body) {
    try {
      body.call();
    } catch (Exception error) {
      that(String.valueOf(error.getMessage()).contains(text), error + " and not " + text);
      return error;
    }
    throw new AssertionError("no error");
  }

  /** Waits until a condition holds; what it throws counts as no. */
  static void until(String what, Callable<Boolean> condition) throws InterruptedException {
    long end = System.nanoTime() + 10_000_000_000L;
    Object last = "";
    while (System.nanoTime() < end) {
      try {
        if (condition.call()) return;
      } catch (Exception error) {
        last = ", last: " + error;
      }
      Thread.sleep(10);
    }
    throw new AssertionError("waited in vain for " + what + last);
  }

  static Thread thread(Body body) {
    Thread thread =
        new Thread(
            () -> {
              try {
                body.run();
              } catch (Exception ignored) {
                // whoever waits for its effect says that it did not come
              }
            });
    thread.setDaemon(true);
    thread.start();
    return thread;
  }

  /** Does something soon, from another thread. */
  static void later(Body body) {
    thread(
        () -> {
          Thread.sleep(50);
          body.run();
        });
  }

  /** What CLIENT INFO must say. Servers before 7.2 know no names of libraries. */
  static void expectHandshake(String info, String library) {
    that(info.contains(" resp=3"), "protocol: " + info);
    if (info.contains(" lib-name=")) that(info.matches("(?s).* lib-name=" + library + ".* lib-ver=\\d.*"), info);
  }

  static void restartServer() throws Exception {
    say("restart");
    System.in.read();
  }

  static byte[] everyByte() {
    byte[] tail = "\r\n$-1\r\n*0\r\n\0\r\n".getBytes();
    byte[] bytes = new byte[256 + tail.length];
    for (int i = 0; i < 256; i++) bytes[i] = (byte) i;
    System.arraycopy(tail, 0, bytes, 256, tail.length);
    return bytes;
  }

  static byte[] large() {
    byte[] bytes = new byte[10_000_000];
    new java.util.Random(1).nextBytes(bytes);
    return bytes;
  }
}
