import { type Answer, factsOf } from '@fumehood/base';
import { canceled } from '../errors.ts';
import { type Http, openHttp } from '../uplink/http.ts';
import { startScriptedAgent, type ScriptedAgent } from './scripted-agent.ts';

/** An agent whose jobs run, without a VM, until they have to stop. */
export class WaitingAgent {
  /** Running jobs, as `<id> <attempt>`. */
  readonly running = new Set<string>();
  /** The stopped jobs, in order, with the code of the reason. */
  readonly stopped: { readonly job: string; readonly code: string }[] = [];
  readonly warnings: string[] = [];
  /** Paths of the answered requests. A stream counts when it begins. */
  readonly answered: string[] = [];
  /** Requests with a path that matches get no answer. */
  withheld: RegExp | null = null;
  private readonly stopAgent: () => Promise<void>;

  constructor(instanceUrl: string, credential: string) {
    const plain = openHttp(instanceUrl);
    const http: Http = async (request) => {
      if (this.withheld?.test(request.path)) return unanswered(request.signal);
      const response = await plain(request);
      this.answered.push(request.path);
      return response;
    };
    const onTrouble = (message: string) => void this.warnings.push(message);
    const run: ScriptedAgent['run'] = async (job, lease) => {
      const name = `${job.id} ${job.fumehood?.attempt}`;
      this.running.add(name);
      await new Promise((resolve) => {
        if (lease.stopped.aborted) resolve(null);
        lease.stopped.addEventListener('abort', resolve);
      });
      this.running.delete(name);
      this.stopped.push({ job: name, code: factsOf(lease.stopped.reason).code });
      return { result: null, failure: lease.stopped.reason ?? canceled(''), machine: null };
    };
    this.stopAgent = startScriptedAgent({ name: 'waiting', http, credential, run, onTrouble });
  }

  async stop(): Promise<void> {
    this.withheld = null;
    await this.stopAgent();
  }
}

function unanswered(signal: AbortSignal | undefined): Promise<Answer> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error));
  });
}
