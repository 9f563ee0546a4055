import type { LocalApp } from '../uses/local-app.js';

const loopback = /^(?:127\.|::1$)/;

/**
 * For the operator: whether a request from `address` that got no seat in time may come from the app itself, which then waits for
 * its own answer. Undefined if it cannot.
 */
export function ownRequest({ app, deployment }: LocalApp, address: string): string | undefined {
  const isInstance = deployment.instances.some((instance) => instance.address?.host === address);
  const mayBe = app.runtime === 'process' && loopback.test(address);
  if (!isInstance && !mayBe) return undefined;
  const comes = isInstance && app.runtime !== 'process' ? 'comes' : 'may come';
  return (
    `The request ${comes} from the app itself (${address}): an app that asks its own domain waits for itself if it has no other ` +
    `place. Raise concurrency.max (${app.concurrency.max}) with the workers of the app, or scale.max (${app.scale.max}).`
  );
}
