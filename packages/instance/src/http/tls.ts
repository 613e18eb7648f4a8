import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { Clock } from '@fumehood/base';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { TlsConfig } from '../config.ts';
import { listenFailed, tlsUnusable } from '../errors.ts';

/** How often the files are looked at. */
const periodMs = 5_000;
/** Fastify's own for its server. */
const keepAliveMs = 72_000;

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A server that answers as the app does, over TLS. */
export interface TlsServer {
  readonly server: Server;
  /** Takes what the files hold from now on, until it is stopped; what is no pair is logged, and the old one stays. */
  follow(signal: AbortSignal): Promise<void>;
}

/** Listens with a certificate and its key; the app is ready, and closes it. Errors: `tls_unusable`, `listen_failed`. */
export async function listenTls(
  app: FastifyInstance,
  config: TlsConfig,
  deps: { readonly clock: Clock; readonly log: Logger },
): Promise<TlsServer> {
  const { clock, log } = deps;
  let pair = await readPair(config);
  checkPair(config, pair, deps);
  const server = createServer(pair, (request, response) => app.routing(request, response));
  server.requestTimeout = 0; // as the app's: images are big and networks slow
  server.keepAliveTimeout = keepAliveMs;
  try {
    await once(server.listen({ host: config.address, port: config.port }), 'listening');
  } catch (error) {
    throw listenFailed(config.address, config.port, (error as Error).message);
  }
  const look = async () => {
    const found = await readPair(config);
    if (found.cert === pair.cert && found.key === pair.key) return;
    pair = found; // also one that is refused, so that it is said once
    checkPair(config, found, deps);
    server.setSecureContext(found);
    log.info({ file: config.certificateFile }, 'the certificate was replaced');
  };
  return {
    server,
    async follow(signal) {
      let told = '';
      while (!signal.aborted) {
        await clock.sleep(periodMs, signal).catch(() => {});
        if (signal.aborted) return;
        try {
          await look();
          told = '';
        } catch (error) {
          const { message } = error as Error;
          if (message !== told) log.error({ error }, 'the old certificate stays in use');
          told = message;
        }
      }
    },
  };
}

async function readPair({ certificateFile, keyFile }: TlsConfig): Promise<Pair> {
  const read = (file: string) =>
    readFile(file, 'utf8').catch((error: unknown) => {
      throw tlsUnusable(file, (error as Error).message);
    });
  return { cert: await read(certificateFile), key: await read(keyFile) };
}

/** Errors: `tls_unusable` for what is not a certificate and its key. A certificate that has expired is told, and used. */
function checkPair(
  { certificateFile, keyFile }: TlsConfig,
  { cert, key }: Pair,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): void {
  const certificate = parsed(certificateFile, () => {
    createSecureContext({ cert });
    return new X509Certificate(cert);
  });
  const privateKey = parsed(keyFile, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey))
    throw tlsUnusable(keyFile, `it is not the key of the certificate in ${certificateFile}`);
  if (Date.parse(certificate.validTo) < clock.now())
    log.warn({ file: certificateFile, validTo: certificate.validTo }, 'the certificate has expired');
}

function parsed<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw tlsUnusable(file, (error as Error).message);
  }
}
