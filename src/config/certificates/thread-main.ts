import { parentPort, workerData } from 'node:worker_threads';
import { CertificateFiles, type CertificateFilesOptions } from './certificate-files.js';
import type { CertificateQuestion, CertificateReport } from './thread-messages.js';

// The thread of CertificateThread: looks at certificate files, and answers which there are for a host name.
const tell = (report: CertificateReport) => parentPort?.postMessage(report);
const files = new CertificateFiles(workerData as CertificateFilesOptions, {
  onChanged: () => tell({ kind: 'changed' }),
  onState: (state) => tell({ kind: 'state', state }),
  onProblem: (file, fault) => tell({ kind: 'problem', file, fault }),
  onError: ({ message }) => tell({ kind: 'error', message }),
});

parentPort?.on('message', ({ id, name, have }: CertificateQuestion) => {
  files.find(name, have).then(
    (found) => tell({ kind: 'found', id, found }),
    ({ message }: Error) => tell({ kind: 'failed', id, message }),
  );
});
