import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { watchInterrupts } from '../run/interrupt.ts';
import { type CodeSource, makeMcpServer } from './server.ts';

/** Longest message that is read from stdin, bytes. */
const messageMax = 1_048_576;

/**
 * Serves the program that started this process, over stdin and stdout. This process ends by itself when that program has closed stdin and has its
 * answers, when it reads no more, or when this process is told to stop. Nothing but the protocol is written to stdout.
 */
export async function serveStdio(source: CodeSource): Promise<void> {
  const server = makeMcpServer(source);
  const stop = () => void server.close();
  watchInterrupts(stop);
  process.stdout.once('error', stop);
  await server.connect(
    new StdioServerTransport(process.stdin, process.stdout, { maxBufferSize: messageMax }),
  );
}
