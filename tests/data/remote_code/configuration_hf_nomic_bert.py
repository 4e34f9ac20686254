"""The config of a small encoder that stands for models which bring their own code."""

from transformers import PretrainedConfig


class NomicBertConfig(PretrainedConfig):
    """The keys of Nomic's config that this encoder reads."""

    model_type = "nomic_bert"
    attribute_map = {  # noqa: RUF012
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "max_position_embeddings": "n_positions",
    }

    def __init__(
        self,
        vocab_size=30528,
        n_positions=8192,
        n_embd=768,
        n_layer=12,
        n_head=12,
        n_inner=3072,
        type_vocab_size=2,
        activation_function="swiglu",
        rotary_emb_base=1000,
        layer_norm_epsilon=1e-12,
        initializer_range=0.02,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.n_positions = n_positions
        self.n_embd = n_embd
        self.n_layer = n_layer
        self.n_head = n_head
        self.n_inner = n_inner
        self.type_vocab_size = type_vocab_size
        self.activation_function = activation_function
        self.rotary_emb_base = rotary_emb_base
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        super().__init__(**kwargs)
