export { secretsOf } from './broker/answer.ts';
export { type BrokerEnvironment, brokerEnvironment } from './broker/environment.ts';
export { isPublicAddress } from './addresses.ts';
export { decideTarget } from './decide-target.ts';
export { openDialer } from './dialer.ts';
export { goesThrough, type HttpProxy } from './http-proxy.ts';
export { type EgressAnswer, type EgressCall, egressAnswerSchema, egressConfigSchema } from './messages.ts';
export { lookupPort, type SufficientPolicy, sufficientPolicy } from './sufficient-policy.ts';
