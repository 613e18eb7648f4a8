/** The bridge's stdin, as JSON: so credentials are in no argument, environment or file of the host. */
export interface BridgeInput {
  /** Files that the bridge writes to /tmp, which is memory of the sandbox, readable by its user alone. */
  readonly files: Readonly<Record<string, string>>;
  /** Ports of this machine that the bridge forwards: programs in Go use no proxy for loopback addresses. */
  readonly loopback: readonly number[];
  /** The subcommand of skopeo, and its arguments. */
  readonly args: readonly string[];
}

/** The address space of skopeo. */
const memoryBytes = 4 * 2 ** 30;

/** Path of the proxy's socket in the sandbox. */
export const proxySocket = '/proxy/socket';

/**
 * The script that Node runs in the sandbox; it runs nothing but skopeo. The sandbox has no network but its own loopback, and
 * programs in Go reach proxies over TCP only: so the script listens on the loopback for the command and passes every byte on to
 * the proxy's socket.
 */
export const bridgeScript = `
const { spawn } = require('node:child_process');
const { readFileSync, writeFileSync } = require('node:fs');
const { connect, createServer } = require('node:net');
const { files, loopback, args } = JSON.parse(readFileSync(0, 'utf8'));
for (const [name, text] of Object.entries(files)) writeFileSync('/tmp/' + name, text, { mode: 0o600 });
if (!['copy', 'inspect'].includes(args[0])) throw new Error('this is no subcommand for images');
// There is no policy for signatures of images; digests are checked.
const skopeo = ['/usr/bin/skopeo', '--insecure-policy', '--registries-conf', '/tmp/registries.conf'];
const join = (one, other) => {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.once('close', () => to.destroySoon());
  }
};
const listen = (port, serve) =>
  new Promise((done, failed) => {
    const server = createServer(serve).once('error', failed);
    server.listen(port, '127.0.0.1', () => done(server.address().port));
  });
const forward = (port) => (socket) => {
  const out = connect('${proxySocket}');
  out.on('error', () => socket.destroy());
  out.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255]));
  const answer = () => {
    const bytes = out.read(12);
    if (!bytes) return;
    out.off('readable', answer);
    if (bytes.length < 12 || bytes[3] !== 0) return void socket.destroy();
    join(socket, out);
  };
  out.on('readable', answer);
};
(async () => {
  for (const port of loopback) await listen(port, forward(port));
  const port = await listen(0, (socket) => join(socket, connect('${proxySocket}')));
  const proxy = 'socks5://127.0.0.1:' + port;
  const env = { ...process.env, HTTP_PROXY: proxy, HTTPS_PROXY: proxy, SSL_CERT_FILE: '/tmp/ca.pem' };
  const child = spawn('/usr/bin/prlimit', ['--as=${memoryBytes}', '--', ...skopeo, ...args], { stdio: ['ignore', 1, 2], env });
  child.once('error', (error) => { console.error(String(error)); process.exit(127); });
  child.once('exit', (code, signal) => process.exit(code ?? (signal === 'SIGXFSZ' ? 153 : 1)));
})();
`;
