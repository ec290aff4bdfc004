#pragma once

#include <nan.h>

#include <optional>
#include <string>

namespace toolkit {

/** A whole number from `low` to `high`; nothing for any other value. */
inline std::optional<int64_t> WholeNumber(v8::Local<v8::Value> value, int64_t low, int64_t high) {
  if (!value->IsNumber()) return std::nullopt;
  const double number = Nan::To<double>(value).FromJust();
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high))) return std::nullopt;
  const auto whole = static_cast<int64_t>(number);
  if (static_cast<double>(whole) != number) return std::nullopt;
  return whole;
}

/** A text that is not empty and holds no NUL; nothing for any other value. */
inline std::optional<std::string> Text(v8::Local<v8::Value> value) {
  if (!value->IsString()) return std::nullopt;
  Nan::Utf8String text(value);
  if (*text == nullptr || text.length() == 0) return std::nullopt;
  std::string copy(*text, static_cast<size_t>(text.length()));
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  return copy;
}

template <typename T>
void SetField(v8::Local<v8::Object> object, const char* name, v8::Local<T> value) {
  Nan::Set(object, Nan::New(name).ToLocalChecked(), value);
}

}  // namespace toolkit
