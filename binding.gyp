{
  "variables": {
    # Where node-rdkafka is installed (hoisted or nested), its librdkafka and its nan.
    "node_rdkafka": "<!(node src/native/locate.cjs node-rdkafka)",
    "librdkafka": "<!(node src/native/locate.cjs librdkafka)",
    "private_headers": "<!(node src/native/locate.cjs private-headers)",
    "node_rdkafka_version": "<!(node src/native/locate.cjs version)"
  },
  "targets": [
    {
      "target_name": "rdkafka_toolkit",
      "sources": [
        "src/native/batch-memory.cc",
        "src/native/consumer-close.cc",
        "src/native/header-reader.cc",
        "src/native/module.cc",
        "src/native/mock-cluster.cc",
        "src/native/packed-consumer.cc",
        "src/native/packed-producer.cc"
      ],
      "include_dirs": ["<!(node src/native/locate.cjs nan)", "<(node_rdkafka)"],
      "defines": ["NODE_RDKAFKA_VERSION=\"<(node_rdkafka_version)\""],
      "cflags_cc": ["-std=c++20", "-Wno-ignored-qualifiers", "-Wno-cast-function-type"],
      "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["-std=c++20"] },
      "conditions": [
        ["private_headers==\"yes\"", { "sources": ["src/native/raw-headers.c"], "defines": ["TOOLKIT_RAW_HEADERS", "_GNU_SOURCE"] }],
        [
          "librdkafka==\"system\"",
          {
            "include_dirs": ["/usr/include/librdkafka", "/usr/local/include/librdkafka"],
            "libraries": ["-lrdkafka"]
          },
          {
            "include_dirs": ["<(node_rdkafka)/deps/librdkafka/src", "<(node_rdkafka)/deps/librdkafka/src-cpp"],
            # No rpath: the library is found by its name among those node-rdkafka has loaded, so there is never a second copy.
            "libraries": ["<(librdkafka)"]
          }
        ]
      ]
    }
  ]
}
