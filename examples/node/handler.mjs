// SPDX-License-Identifier: Apache-2.0

// Answers with the event and says who it was.
export async function handler(event, context) {
  console.log(`node got ${Object.keys(event).length} keys`);
  return { event, awsRequestId: context.awsRequestId };
}
