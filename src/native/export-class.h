#pragma once

#include <nan.h>

#include <initializer_list>
#include <utility>

namespace toolkit {

/** Exports a class whose objects wrap a Nan::ObjectWrap. */
inline void ExportClass(v8::Local<v8::Object> exports, const char* name, Nan::FunctionCallback construct,
                        std::initializer_list<std::pair<const char*, Nan::FunctionCallback>> methods) {
  auto constructor = Nan::New<v8::FunctionTemplate>(construct);
  auto class_name = Nan::New(name).ToLocalChecked();
  constructor->SetClassName(class_name);
  constructor->InstanceTemplate()->SetInternalFieldCount(1);
  for (const auto& [method, callback] : methods) Nan::SetPrototypeMethod(constructor, method, callback);
  Nan::Set(exports, class_name, Nan::GetFunction(constructor).ToLocalChecked());
}

}  // namespace toolkit
