// Makes an app's key pair and its authorization token in the browser. The private key is shown in this page
// and nowhere else: nothing here sends anything to the server, and no field has a name.
"use strict";

const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: "SHA-256",
};
const LIFE = 24 * 3600; // seconds; the longest lifetime that the server accepts

const element = (id) => document.getElementById(id);

function base64(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}

function base64url(bytes) {
  return base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function pem(label, der) {
  const lines = base64(der).match(/.{1,64}/g).join("\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

async function sign(claims, key) {
  const encode = (value) => base64url(new TextEncoder().encode(JSON.stringify(value)));
  const signed = `${encode({ alg: "RS256", typ: "balados-authz+jwt" })}.${encode(claims)}`;
  const signature = await crypto.subtle.sign(RSA.name, key, new TextEncoder().encode(signed));
  return `${signed}.${base64url(signature)}`;
}

function asked(instance, publicKey) {
  const app = { name: element("app-name").value.trim(), public_key: publicKey };
  const optional = { url: element("app-url").value.trim(), redirect_uri: element("app-redirect").value.trim() };
  for (const [name, value] of Object.entries(optional)) {
    if (value) app[name] = value;
  }
  const scopes = [...document.querySelectorAll("[data-scope]:checked")].map((box) => box.dataset.scope);
  const now = Math.floor(Date.now() / 1000);
  return { iss: element("app-id").value.trim(), aud: instance, app, scopes, iat: now, exp: now + LIFE };
}

function complain(text) {
  element("creator-error").textContent = text;
  element("creator-error").hidden = !text;
}

async function make(instance) {
  const pair = await crypto.subtle.generateKey(RSA, true, ["sign", "verify"]);
  const publicKey = pem("PUBLIC KEY", await crypto.subtle.exportKey("spki", pair.publicKey));
  const privateKey = pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const token = await sign(asked(instance, publicKey), pair.privateKey);
  element("private-key").value = privateKey;
  element("private-key-file").href = URL.createObjectURL(new Blob([privateKey], { type: "application/x-pem-file" }));
  element("app-token").value = token;
  element("app-link").value = `${instance}/authorize?token=${token}`;
  element("app-open").href = `/authorize?token=${token}`;
  element("creator-result").hidden = false;
  element("creator-result").focus();
}

async function copy(id) {
  const field = element(id);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    element("creator-said").textContent = element("creator").dataset.copied;
  } catch {
    element("creator-said").textContent = element("creator").dataset.selected;
  }
}

function start() {
  const creator = element("creator");
  element("creator-missing").hidden = true;
  if (!globalThis.crypto?.subtle) {
    element("creator-insecure").hidden = false;
    return;
  }
  creator.hidden = false;
  element("creator-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!document.querySelector("[data-scope]:checked")) {
      complain(creator.dataset.nothingAsked);
      return;
    }
    complain("");
    const button = element("creator-make");
    button.disabled = true;
    try {
      await make(creator.dataset.instance);
    } catch (error) {
      complain(`${creator.dataset.failed} ${error.message}`);
    } finally {
      button.disabled = false;
    }
  });
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button.dataset.copy));
  }
}

start();
