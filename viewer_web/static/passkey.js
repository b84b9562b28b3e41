// Shows the forms that need a passkey where the browser has any, and fills them in. Without this script, or a browser
// that knows passkeys, there is the code.
"use strict";

const ceremonies = {
  get: (options) => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }),
  create: (options) => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }),
};

async function sign(form) {
  const asked = await fetch(form.dataset.ask, { method: "POST", body: new URLSearchParams({ token: form.dataset.token }) });
  if (!asked.ok) throw new Error(asked.status);
  const made = await ceremonies[form.dataset.passkey](await asked.json());
  form.elements.answer.value = JSON.stringify(made.toJSON());
  form.submit();
}

if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const failed = form.querySelector("[role=alert]");
      failed.hidden = true;
      try {
        await sign(form);
      } catch {
        // The person closed the dialogue, or the device has no such passkey: the other ways are still there.
        failed.hidden = false;
      }
    });
  }
}
