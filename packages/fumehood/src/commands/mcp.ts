import { type Command, InvalidArgumentError } from 'commander';
import { connect } from '../cli/context.ts';
import { note } from '../cli/print.ts';
import type { McpAddress } from '../mcp/http.ts';
import { urlOption } from '../target/target.ts';

interface McpOptions {
  readonly url?: string;
  readonly listen?: McpAddress;
}

/** Adds `fumehood mcp`. */
export function addMcp(program: Command): void {
  program
    .command('mcp')
    .description('serve coding agents with questions about code, by the Model Context Protocol')
    .option(
      '--listen <host:port>',
      'serve over HTTP at this address; default: over stdin and stdout',
      address,
    )
    .addOption(urlOption())
    .addHelpText(
      'after',
      [
        '',
        'An agent starts `fumehood mcp` itself, and reaches the instance with the access token of `fumehood login` or of FUMEHOOD_TOKEN, which needs',
        'the scope code:read alone. With --listen, FUMEHOOD_MCP_TOKEN is what agents have to send as their bearer token; beyond loopback it has to be set.',
      ].join('\n'),
    )
    .action(async ({ listen, ...options }: McpOptions) => {
      const client = await connect(options);
      if (listen === undefined) {
        const { serveStdio } = await import('../mcp/stdio.ts');
        return await serveStdio(client);
      }
      const { serveHttp } = await import('../mcp/http.ts');
      const { watchInterrupts } = await import('../run/interrupt.ts');
      const server = await serveHttp(client, listen, process.env.FUMEHOOD_MCP_TOKEN);
      const interrupted = new Promise<void>((resolve) => watchInterrupts(resolve));
      note(`listening at ${server.url}`);
      await interrupted;
      return await server.close();
    });
}

/** Parses where to listen. */
function address(text: string): McpAddress {
  const [, host, port] = /^([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\]):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError('Give it as HOST:PORT, such as 127.0.0.1:7070.');
  return { host: host.toLowerCase(), port: Number(port) };
}
